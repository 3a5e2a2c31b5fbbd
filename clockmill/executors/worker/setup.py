"""What a worker is told when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clockmill.clock import Clock, SystemClock
from clockmill.executors.setup import ExecutorSetup
from clockmill.executors.worker.homelogs import WorkerLogs
from clockmill.host import processes
from clockmill.protocols.workers import WorkerGateway, WorkerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """The one argument of a worker.

    :param name: tells apart the workers of one home; with it a worker that begins again finds what it left.
    :param executor: the name of the executor whose offers it takes.
    :param queues: the queues that it serves.
    :param slots: how many attempts it runs at once.
    :param version: of this program, for people.
    :param home: of this machine, absolute; tasks have it as their working directory.
    :param run_folder: for the locks and sockets of this worker alone.
    :param logs: where its tasks write.
    :param beat_seconds: how often it shows that it is alive.
    :param lease_seconds: after how long a silence it counts as gone.
    :param connect: opens the way to what offers the work; called once.
    :param fetch_bundle: gives the folder of a bundle on this machine, and fetches what is missing of it. Raises
        :class:`~clockmill.errors.GatewayUnavailable` when that has to be tried again. Called by a thread of its own.
    :param gateway: as in :class:`~clockmill.executors.setup.ExecutorSetup`, for what tasks read.
    :param max_tasks_per_process: how many tasks a process may run, one after the other.
    :param farewell: seconds that undelivered reports are tried for once everything was stopped; after that the next
        worker that begins here finds them.
    :param resources: what it offers besides slots: name -> amount.
    """

    name: str
    executor: str
    queues: Sequence[str]
    slots: int
    version: str
    home: Path
    run_folder: Path
    logs: WorkerLogs
    beat_seconds: float
    lease_seconds: float
    connect: Callable[[], WorkerGateway]
    fetch_bundle: Callable[[str], Path]
    gateway: str
    gateway_spec: Mapping[str, Any]
    orphan_grace: float = 600.0
    max_tasks_per_process: int = 1
    farewell: float = 10.0
    clock: Clock = field(default_factory=SystemClock)
    resources: Mapping[str, float] = field(default_factory=dict)

    def for_executor(self) -> ExecutorSetup:
        """What the executor below the worker is told."""
        return ExecutorSetup(
            name=self.executor,
            home=self.home,
            run_folder=self.run_folder,
            slots=self.slots,
            gateway=self.gateway,
            gateway_spec=self.gateway_spec,
            orphan_grace=self.orphan_grace,
            max_tasks_per_process=self.max_tasks_per_process,
            clock=self.clock,
        )

    def introduce(self, worker_id: str, pid: int) -> WorkerInfo:
        """How the worker introduces itself."""
        return WorkerInfo(
            id=worker_id,
            executor=self.executor,
            host=processes.host_name(),
            boot_id=processes.boot_id(),
            pid=pid,
            slots=self.slots,
            queues=list(self.queues),
            version=self.version,
            resources=dict(self.resources),
        )
