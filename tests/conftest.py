"""Fixtures shared by every test: the metadata database, on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from clockmill.migrations import runner
from clockmill.storage.engine import Database
from clockmill.testing.servers import PostgresServer, ServerMissing, postgres_server

_TEMPLATE = "clockmill_template"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole test run; skips where none is installed, fails there in CI."""
    try:
        with postgres_server() as server:
            yield server
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


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


def _migrate(url: str) -> None:
    database = Database(url, synchronous="OFF")
    runner.upgrade(database)
    database.close()


def _administer(server: PostgresServer, statement: str) -> None:
    engine = create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
