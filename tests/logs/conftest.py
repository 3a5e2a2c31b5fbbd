"""Workers that write, and places that their logs are sent to."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmill.logs.carriers import ApiCarrier
from clockmill.logs.tasklogs import TaskLogs
from tests.shipping import Receiver, Worker


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The folder of logs of the web server."""
    return tmp_path / "logs"


@pytest.fixture
def receiver(logs: Path) -> Receiver:
    return Receiver(logs)


@pytest.fixture
def worker(tmp_path: Path, receiver: Receiver) -> Worker:
    """A worker that sends to the API."""
    return Worker(tmp_path / "spool", lambda: ApiCarrier(lambda: receiver))  # type: ignore[arg-type,return-value]


@pytest.fixture
def reader(logs: Path) -> TaskLogs:
    return TaskLogs(logs, is_sent=True)
