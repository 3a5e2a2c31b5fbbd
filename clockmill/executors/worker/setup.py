"""What a worker is told when it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clockmill.clock import Clock
from clockmill.executors.setup import ExecutorSetup
from clockmill.executors.worker.homelogs import WorkerLogs
from clockmill.host import processes
from clockmill.ids import new_token
from clockmill.protocols.workers import WorkerGateway, WorkerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """The one argument of a worker.

    :param name: tells apart the workers of one home; with it a worker that begins again finds what it left.
    :param executor: what the executor below the worker is told. Its name is that of the executor whose offers are
        taken, its run folder is for this worker alone, and what it may offer is what the worker offers.
    :param queues: the queues that it serves.
    :param version: of this program, for people.
    :param logs: where its tasks write.
    :param beat_seconds: how often it shows that it is alive.
    :param lease_seconds: after how long a silence it counts as gone.
    :param connect: opens the way to what offers the work; called once.
    :param fetch_bundle: gives the folder of a bundle on this machine, and fetches what is missing of it. Raises
        :class:`~clockmill.errors.GatewayUnavailable` when that has to be tried again. Called by a thread of its own.
    :param gateway_kind: how it asks for work, for people: ``database`` or ``http``.
    :param farewell: seconds that undelivered reports are tried for once everything was stopped; after that the next
        worker that begins here finds them.
    """

    name: str
    executor: ExecutorSetup
    queues: Sequence[str]
    version: str
    logs: WorkerLogs
    beat_seconds: float
    lease_seconds: float
    connect: Callable[[], WorkerGateway]
    fetch_bundle: Callable[[str], Path]
    gateway_kind: str = "database"
    farewell: float = 10.0

    @property
    def slots(self) -> int:
        """How many attempts it runs at once."""
        return self.executor.slots

    @property
    def clock(self) -> Clock:
        """The clock of all its parts."""
        return self.executor.clock

    def new_id(self) -> str:
        """An id for one start of the worker, which tells people its machine, and its name where it was given one."""
        host = processes.host_name()
        is_plain = self.name in (self.executor.name, host)
        return "-".join([host[:40]] if is_plain else [host[:24], self.name[:24]]) + f"-{new_token()[:12]}"

    def introduce(self, worker_id: str, pid: int) -> WorkerInfo:
        """How the worker introduces itself."""
        return WorkerInfo(
            id=worker_id,
            executor=self.executor.name,
            host=processes.host_name(),
            boot_id=processes.boot_id(),
            pid=pid,
            slots=self.slots,
            queues=list(self.queues),
            version=self.version,
            resources=dict(self.executor.resources or {}),
            gateway=self.gateway_kind,
            lease_seconds=self.lease_seconds,
        )
