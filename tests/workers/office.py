"""Where a worker under test gets its work: a gateway in memory that does what the test says, and a way to wait."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from clockmill.clock import SystemClock
from clockmill.errors import GatewayUnavailable, WorkerGone
from clockmill.executors.setup import ExecutorSetup
from clockmill.executors.worker import HomeLogs, Worker, WorkerSetup
from clockmill.protocols import AttemptReport, Workload
from clockmill.protocols.workers import Exchange, ExchangeAnswer, WorkerInfo
from clockmill.testing.bench import ExecutorBench
from clockmill.testing.gateway import FACTORY

T = TypeVar("T")
PATIENCE = 60.0


@dataclass
class Office:
    """A worker gateway: what it is told it keeps, what it answers the test has prepared.

    :ivar offers: what may be claimed, by attempt id.
    :ivar owners: the worker that has each attempt.
    :ivar reports: what was reported, by attempt id, each report that was taken.
    :ivar letters: all exchanges that were answered.
    :ivar lost_answers: so many registrations count, and are not answered.
    :ivar trouble: raised in place of an answer while it is set; a function decides by the letter.
    """

    bench: ExecutorBench
    offers: dict[str, Workload] = field(default_factory=dict)
    known: dict[str, Workload] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    reports: dict[str, list[AttemptReport]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    stops: set[str] = field(default_factory=set)
    letters: list[Exchange] = field(default_factory=list)
    workers: dict[str, WorkerInfo] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    lost_answers: int = 0
    trouble: Callable[[Exchange], Exception | None] | None = None

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)

    # --- the gateway -------------------------------------------------------------------------------------------------

    def register(self, worker: WorkerInfo, *, follows: str | None = None, held: list[list[str]] | None = None) -> None:
        with self._news():
            self._refuse(Exchange(beat=0))
            self.workers[worker.id] = worker
            if follows is not None:
                self.gone.add(follows)
                mine = {ident for ident, owner in self.owners.items() if owner == follows}
                for ident, token in held or ():
                    if ident in mine and self.known[ident].token == token:
                        self.owners[ident] = worker.id
            if self.lost_answers:
                self.lost_answers -= 1
                raise GatewayUnavailable("nobody knows what became of it")

    def exchange(self, worker_id: str, said: Exchange) -> ExchangeAnswer:
        with self._news():
            self._refuse(said)
            if worker_id in self.gone or worker_id not in self.workers:
                raise WorkerGone("given up")
            self.letters.append(said)
            self.started += [ident for ident, _, _ in said.started]
            for report in said.reports:
                self.reports.setdefault(report["attempt_id"], []).append(AttemptReport.from_json(report))
            for ident, token in said.claims:
                self._claim(worker_id, ident, token)
            for ident in sorted(self.offers)[: max(0, said.want - len(said.claims))]:
                self._claim(worker_id, ident, self.offers[ident].token)
            return self._answer(worker_id, said)

    def leave(self, worker_id: str) -> None:
        with self._news():
            self._refuse(Exchange(beat=0))
            self.gone.add(worker_id)

    def get_manifest(self, bundle: str) -> dict[str, list[Any]]:
        raise NotImplementedError

    def get_files(self, hashes: list[str]) -> dict[str, bytes]:
        raise NotImplementedError

    def close(self) -> None: ...

    def _refuse(self, said: Exchange) -> None:
        if self.trouble is not None and (error := self.trouble(said)) is not None:
            raise error

    def _claim(self, worker_id: str, ident: str, token: str) -> None:
        if ident in self.offers and self.offers[ident].token == token:
            self.known[ident] = self.offers.pop(ident)
            self.owners[ident] = worker_id

    def _answer(self, worker_id: str, said: Exchange) -> ExchangeAnswer:
        mine = {ident for ident, owner in self.owners.items() if owner == worker_id and ident not in self.reports}
        taken = {ident for ident, _, _ in said.started} | {report["attempt_id"] for report in said.reports}
        return ExchangeAnswer(
            workloads=[self.known[ident].to_json() for ident in sorted(mine - set(said.held))],
            taken=sorted(taken),
            stop=sorted((self.stops & mine & set(said.held)) | (set(said.held) - mine)),
        )

    # --- the test ----------------------------------------------------------------------------------------------------

    def offer(self, task_id: str, **fields: Any) -> Workload:
        """Have something to do, as a scheduler offers it."""
        workload = self.bench.workload(task_id, **fields)
        body = workload.to_json() | {"bundle_path": "", "log_path": f"{task_id}/{workload.attempt_id}.log"}
        with self._lock:
            self.offers[workload.attempt_id] = Workload.from_json(body)
        return workload

    def wait(self, find: Callable[[], T | None], what: str) -> T:
        """Go on until ``find`` finds something, and return that."""
        deadline = SystemClock().monotonic() + PATIENCE
        while True:
            self.bench.read_ledger()
            with self._lock:
                if found := find():
                    return found
            left = deadline - SystemClock().monotonic()
            assert left > 0, f"waited in vain for {what}; letters: {self.letters[-3:]}"
            poller = select.poll()
            poller.register(self.bell, select.POLLIN)
            poller.register(self.bench.ledger_pipe, select.POLLIN)
            if (self.bell, select.POLLIN) in poller.poll(left * 1000 + 1):
                os.eventfd_read(self.bell)

    def report(self, workload: Workload) -> AttemptReport:
        """Wait for the report of an attempt."""
        return self.wait(lambda: self.reports.get(workload.attempt_id), f"the report of {workload.task_id}")[0]

    def said(self, workload: Workload, word: str) -> list[str]:
        """Wait for what an attempt says."""
        return self.wait(lambda: self.bench.said(workload, word), f"{word} of {workload.task_id}")[0]

    def is_unavailable(self, _: Exchange) -> Exception:
        """A kind of trouble: nobody can be asked."""
        return GatewayUnavailable("the database is away")

    @contextmanager
    def _news(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            finally:
                os.eventfd_write(self.bell, 1)


class Hired:
    """A worker that runs in a thread."""

    def __init__(self, office: Office, name: str = "w", slots: int = 2, **fields: Any) -> None:
        self.office = office
        home = office.bench.home
        settings: dict[str, Any] = {
            "name": name,
            "executor": ExecutorSetup(
                name="celery",
                home=home,
                run_folder=home / "run" / "workers" / name,
                slots=slots,
                gateway=FACTORY,
                gateway_spec={"folder": str(home / "live")},
            ),
            "queues": ["default"],
            "version": "1",
            "logs": HomeLogs(home / "logs"),
            "beat_seconds": 0.2,
            "lease_seconds": 60.0,
            "connect": lambda: office,
            "fetch_bundle": lambda bundle: home / "bundle",
        }
        self.worker = Worker(WorkerSetup(**(settings | fields)))
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"hired-{name}")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:  # noqa: BLE001 - told by join
            self.error = error

    def knock(self, workload: Workload) -> bool:
        """Ring the bell for an attempt, and wait for what comes of it."""
        return self.worker.knock(workload.attempt_id, workload.token).result(PATIENCE)

    def crash(self) -> None:
        """Leave behind what a worker leaves that was killed: a supervisor, and a note of who it was."""

        def fall() -> None:
            raise ZeroDivisionError

        self.worker._call(fall)
        self._thread.join(PATIENCE)
        assert isinstance(self.error, ZeroDivisionError)
        self.error = None

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the worker did not end"
        if self.error is not None:
            raise self.error

    @property
    def log_folder(self) -> Path:
        return self.office.bench.home / "logs"
