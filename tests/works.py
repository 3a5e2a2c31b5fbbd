"""A scheduler with a brokered executor, and workers that say what a test wants. The fixtures are for a conftest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from clockmill import DAG, task
from clockmill.clock import iso
from clockmill.executors.base import Executor, Offer
from clockmill.protocols import AttemptReport, Workload
from clockmill.protocols.workers import Exchange, ExchangeAnswer, WorkerGateway, WorkerInfo
from clockmill.runtime.remote.client import Client
from clockmill.runtime.remote.worker import HttpWorkerGateway
from clockmill.scheduler.service import SchedulerService
from clockmill.storage import tables
from clockmill.storage.crypto import Cipher, create_key_file
from clockmill.storage.engine import Database
from clockmill.storage.gateway import DatabaseGateway
from clockmill.storage.worker_gateway import DatabaseWorkerGateway
from clockmill.testing.broker import ScriptedBroker
from clockmill.testing.execution import execution_server
from tests.mill import Mill, SilentListener

START = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


@dataclass
class Worker:
    """What a worker says, said by the test."""

    gateway: WorkerGateway
    clock: Any
    id: str
    beat: int = 0

    def say(self, **said: Any) -> ExchangeAnswer:
        self.beat += 1
        return self.gateway.exchange(self.id, Exchange(beat=self.beat, **said))

    def claim(self, *offers: Offer) -> list[Workload]:
        answer = self.say(claims=[[offer.attempt_id, offer.token] for offer in offers])
        return [Workload.from_json(each) for each in answer.workloads]

    def report(self, workload: Workload, outcome: str = "success", **told: Any) -> dict[str, Any]:
        moment = iso(self.clock.now())
        return AttemptReport(
            attempt_id=workload.attempt_id,
            token=workload.token,
            outcome=outcome,
            started_at=moment,
            ended_at=moment,
            **told,
        ).to_json()


@dataclass
class Works:
    """A scheduler with a brokered executor, and its workers."""

    mill: Mill
    broker: ScriptedBroker
    open_gateway: Callable[[], WorkerGateway]

    def worker(
        self,
        ident: str = "w1",
        slots: int = 2,
        resources: dict[str, float] | None = None,
        lease_seconds: float | None = None,
        **followed: Any,
    ) -> Worker:
        gateway = self.open_gateway()
        info = WorkerInfo(
            id=ident,
            executor="broker",
            host="elsewhere",
            boot_id="b",
            pid=7,
            slots=slots,
            queues=["default"],
            version="1",
            resources=resources or {},
            lease_seconds=lease_seconds,
        )
        gateway.register(info, **followed)
        return Worker(gateway, self.mill.clock, ident)

    def restart(self, database: Database, *, retired: bool = False) -> None:
        """Another scheduler, with nothing in memory.

        :param retired: whether its settings name the brokered executor no more.
        """
        mill = self.mill
        mill.listener = SilentListener()
        chosen: dict[str, Executor] = {"broker": self.broker, "scripted": mill.executor}
        gone = {"broker": chosen.pop("broker")} if retired else {}
        mill.service = SchedulerService(database, mill.clock, mill.settings, chosen, mill.listener, retired=gone)
        mill.service.start()
        mill.services.append(mill.service)

    def left(self) -> tuple[int, int]:
        """How many offers and reports are kept."""

        def count(table: Any) -> int:
            return int(self.mill.db.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))

        return count(tables.offer), count(tables.worker_report)


@pytest.fixture
def direct(mill: Mill, open_database: Callable[[], Database]) -> Callable[[], WorkerGateway]:
    """Opens the gateway on the database itself."""
    return lambda: DatabaseWorkerGateway(open_database(), mill.settings.run_folder, mill.clock)


@pytest.fixture
def over_http(
    direct: Callable[[], WorkerGateway], open_database: Callable[[], Database], tmp_path: Path
) -> Iterator[Callable[[], WorkerGateway]]:
    """Opens the gateway of a worker that holds no credentials of the database."""
    create_key_file(tmp_path / "fernet.key")
    reads = DatabaseGateway(open_database(), Cipher(tmp_path / "fernet.key"))
    clients: list[Client] = []
    with execution_server(direct(), reads, b"secret") as address:

        def open_it() -> WorkerGateway:
            clients.append(Client(address, b"secret"))
            return HttpWorkerGateway(clients[-1])

        yield open_it
        for client in clients:
            client.close()


@pytest.fixture(params=["direct", "over_http"])
def works(request: pytest.FixtureRequest, mill: Mill, open_database: Callable[[], Database]) -> Works:
    works = Works(mill, ScriptedBroker(), request.getfixturevalue(request.param))
    works.restart(open_database())
    return works


def chain(length: int = 2) -> DAG:
    with DAG("d", start_date=START, schedule=None) as dag:

        @task
        def one() -> int:
            return 1

        @task
        def two(value: int) -> None: ...

        first = one()
        if length > 1:
            two(first)
    return dag
