"""Fixtures shared by every test: the metadata database, on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Table, create_engine, insert, text

from clockmill.clock import parse_iso
from clockmill.migrations import runner
from clockmill.state import FINISHED_RUN_STATES, LIVE_ATTEMPT_STATES
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.testing.servers import (
    PostgresServer,
    RabbitServer,
    RedisServer,
    S3Server,
    Server,
    ServerMissing,
    postgres_server,
    rabbit_server,
    redis_server,
    s3_server,
)

S = TypeVar("S", bound=Server)
_TEMPLATE = "clockmill_template"

# No example fails for the time that it takes, on whatever machine.
settings.register_profile("patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a report travel between processes although a test logged what is no Unicode."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole test run; skips where none is installed, fails there in CI."""
    yield from _running(postgres_server)


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A Redis server for the whole test run, as found or left by another test; skips where none is installed."""
    yield from _running(redis_server)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    """A RabbitMQ server for the whole test run, as found or left by another test; skips where none is installed."""
    yield from _running(rabbit_server)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server for the whole test run, as found or left by another test; skips where none is installed."""
    yield from _running(s3_server)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> RedisServer | RabbitServer:
    """Each broker in turn, with nothing in it and with all clients cut off; give the test the mark ``broker``."""
    server: RedisServer | RabbitServer = request.getfixturevalue(request.param)
    server.drop_connections()
    server.wipe()
    return server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy from."""
    path = tmp_path_factory.mktemp("template") / "clockmill.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The name of a migrated, empty PostgreSQL database to copy from."""
    _administer(postgres, f"CREATE DATABASE {_TEMPLATE}")
    _migrate(postgres.url(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of a migrated, empty SQLite database of this test's own."""
    path = tmp_path / "clockmill.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_template: str, _numbers: Iterator[int]) -> Iterator[str]:
    """The URL of a migrated, empty PostgreSQL database of this test's own."""
    name = f"test_{next(_numbers)}"
    _administer(postgres, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield postgres.url(name)
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated, empty database: each test runs on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def open_database(database_url: str) -> Iterator[Callable[[], Database]]:
    """Opens the database of this test, again and again for tests of several processes; none may stay checked out."""
    opened: list[Database] = []

    def open_it() -> Database:
        opened.append(Database(database_url, synchronous="OFF"))
        return opened[-1]

    yield open_it
    left = [database.engine.pool.status() for database in opened if database.engine.pool.checkedout()]
    for database in opened:
        database.close()
    assert not left, f"connections were left checked out: {left}"


@pytest.fixture
def database(open_database: Callable[[], Database]) -> Database:
    """A migrated, empty database, on SQLite and on PostgreSQL."""
    return open_database()


class Rows:
    """Puts rows straight into the tables, so that a test of reading needs no service to make them."""

    start = parse_iso("2026-01-01T00:00:00")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers = count(1)

    def dag(self, dag_id: str, **values: Any) -> int:
        """A DAG with one version; returns the id of the version."""
        number = next(self._numbers)
        self.add(tables.bundle, id=number, hash=str(number), manifest={}, size_bytes=0, created_at=self.start)
        self.add(tables.dag, dag_id=dag_id, file=f"{dag_id}.py", tags=[], created_at=self.start, **values)
        hashes = {"document_hash": "h", "code_hash": "c"}
        self.add(
            tables.dag_version, id=number, dag_id=dag_id, number=1, document="{}", **hashes, bundle_id=number,
            file=f"{dag_id}.py", created_at=self.start,
        )  # fmt: skip
        current = tables.dag.update().where(tables.dag.c.dag_id == dag_id).values(version_id=number)
        self._database.write(lambda connection: connection.execute(current))
        return number

    def run(self, version: int, dag_id: str, run_id: str, state: str = "running", **values: Any) -> int:
        """A run; returns its row id."""
        number = next(self._numbers)
        moment = self.moment(number)
        defaults = {"run_type": "manual", "run_after": moment, "queued_at": moment, "conf": {}}
        ended = {"end_date": moment} if state in FINISHED_RUN_STATES else {}
        names = {"id": number, "dag_id": dag_id, "run_id": run_id, "version_id": version, "state": state}
        self.add(tables.dag_run, **{**names, **defaults, **ended, **values})
        return number

    def task(self, run: int, task_id: str, state: str = "running", **values: Any) -> int:
        """A task instance; returns its row id."""
        number = next(self._numbers)
        due = {"due_at": self.moment(number)} if state == "up_for_retry" else {}
        names = {"id": number, "dag_run_id": run, "task_id": task_id, "state": state}
        self.add(tables.task_instance, **{**names, **due, **values})
        return number

    def attempt(self, run: int, task: int, ident: str, state: str = "running", **values: Any) -> str:
        """An attempt with the token ``token-IDENT``; returns its id."""
        moment = self.moment(next(self._numbers))
        defaults = {"try_number": 1, "executor": "local", "pool": "default_pool", "pool_slots": 1, "queued_at": moment}
        ended = {} if state in LIVE_ATTEMPT_STATES else {"ended_at": moment}
        names = {"id": ident, "token": f"token-{ident}", "task_instance_id": task, "dag_run_id": run, "state": state}
        self.add(tables.attempt, **{**names, **defaults, **ended, **values})
        return ident

    def xcom(self, run: int, task: int, task_id: str, value: str, key: str = "return_value", **values: Any) -> None:
        """An XCom, its value as JSON text."""
        names = {"dag_run_id": run, "task_instance_id": task, "task_id": task_id, "key": key, "value": value}
        self.add(tables.xcom, **{**names, "try_number": 1, "created_at": self.start, **values})

    def moment(self, hours: int) -> datetime:
        """So many hours after the start."""
        return self.start + timedelta(hours=hours)

    def add(self, table: Table, **values: Any) -> None:
        """Put a row into any table."""
        self._database.write(lambda connection: connection.execute(insert(table).values(**values)))


@pytest.fixture
def make_rows() -> type[Rows]:
    """Makes rows in a database that the test opens itself."""
    return Rows


@pytest.fixture
def rows(database: Database) -> Rows:
    """Makes rows in the database of this test."""
    return Rows(database)


def _running(make: Callable[[], AbstractContextManager[S]]) -> Iterator[S]:
    try:
        with make() as server:
            yield server
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def _migrate(url: str) -> None:
    database = Database(url, synchronous="OFF")
    runner.upgrade(database)
    database.close()


def _administer(server: PostgresServer, statement: str) -> None:
    engine = create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
