"""Mills to break: on SQLite and on a PostgreSQL server that keeps what it has committed when it crashes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from clockmill.migrations import runner
from clockmill.storage.engine import Database
from clockmill.testing.servers import PostgresServer, ServerMissing, postgres_server
from tests.faults.harness import Mill

#: Without ``synchronous_commit=off``: a crash of the server, not of the machine, must lose nothing.
_STURDY = {"fsync": "off", "full_page_writes": "off"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.fault)
            item.add_marker(pytest.mark.timeout(400))  # the sum of what may be waited for on a busy machine


@pytest.fixture(scope="session")
def sturdy_postgres() -> Iterator[PostgresServer]:
    """A server of these tests alone, which they may stop and crash."""
    try:
        with postgres_server(_STURDY) as server:
            yield server
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def _database_numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def bare_url(sturdy_postgres: PostgresServer, _database_numbers: Iterator[int]) -> str:
    """A database on it without any table."""
    name = f"fault_{next(_database_numbers)}"
    engine = create_engine(sturdy_postgres.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return sturdy_postgres.url(name)


@pytest.fixture
def sturdy_url(bare_url: str) -> str:
    """A migrated, empty database on it."""
    database = Database(bare_url)
    runner.upgrade(database)
    database.close()
    return bare_url


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for homes, DAG files and the ledger; on disk, as homes are."""
    folder = Path(tempfile.mkdtemp(prefix="clockmill-fault-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make_mill(place: Path) -> Iterator[Callable[..., Mill]]:
    """Makes mills; what is left of them at the end is killed."""
    mills: list[Mill] = []

    def make(url: str, name: str = "home", **extra: str) -> Mill:
        mills.append(Mill(place / name, url, place, extra=extra))
        return mills[-1]

    yield make
    for mill in mills:
        mill.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def mill(request: pytest.FixtureRequest, make_mill: Callable[..., Mill], place: Path, sqlite_template: Path) -> Mill:
    """A mill on each database."""
    if request.param == "postgres":
        return make_mill(request.getfixturevalue("sturdy_url"))
    (place / "home").mkdir()
    shutil.copyfile(sqlite_template, place / "home" / "clockmill.db")
    return make_mill(f"sqlite:///{place / 'home' / 'clockmill.db'}")


@pytest.fixture
def postgres_mill(make_mill: Callable[..., Mill], sturdy_url: str) -> Mill:
    """A mill on the server that a test may break."""
    return make_mill(sturdy_url)
