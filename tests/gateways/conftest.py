"""The gateways that tasks and workers have: on the database itself, and over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clockmill.clock import SystemClock
from clockmill.protocols import ReadGateway
from clockmill.runtime.remote import reads
from clockmill.storage.crypto import create_key_file
from clockmill.storage.engine import Database
from clockmill.storage.gateway import gateway_spec, open_gateway
from clockmill.storage.worker_gateway import DatabaseWorkerGateway
from clockmill.testing.execution import execution_server

SECRET = b"the secret of this installation"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    create_key_file(tmp_path / "fernet.key")
    return tmp_path / "fernet.key"


@pytest.fixture
def address(database: Database, key_file: Path, tmp_path: Path) -> Iterator[str]:
    """Where the execution API of this database is."""
    direct = open_gateway(gateway_spec(database, key_file))
    workers = DatabaseWorkerGateway(database, tmp_path / "run", SystemClock())
    with execution_server(workers, direct, SECRET) as found:
        yield found
    direct.close()


@pytest.fixture(params=["database", "http"])
def read_gateway(request: pytest.FixtureRequest, database: Database, key_file: Path) -> Iterator[ReadGateway]:
    """Each way to read, opened as a supervisor opens it."""
    opened: ReadGateway
    if request.param == "database":
        opened = open_gateway(gateway_spec(database, key_file))
    else:
        opened = reads.open_gateway(reads.gateway_spec(request.getfixturevalue("address"), SECRET))
    yield opened
    opened.close()
