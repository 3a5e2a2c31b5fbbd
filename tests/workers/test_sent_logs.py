"""What tasks write on a worker is sent where it is kept: while they run, before it leaves, by the next one if not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clockmill.clock import SystemClock
from clockmill.logs.carriers import ApiCarrier
from clockmill.logs.shipping import LogShipper
from clockmill.logs.spool import Spool
from clockmill.protocols import Workload
from clockmill.protocols.logs import LogPiece
from tests.shipping import KEY, Receiver
from tests.workers.office import Hired, Office

Hire = Callable[..., Hired]


class Archive(Receiver):
    """Keeps what is sent, and rings the bell of the office with each call."""

    def __init__(self, office: Office, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self._office = office

    def append_logs(self, pieces: list[LogPiece]) -> list[int | None]:
        try:
            return super().append_logs(pieces)
        finally:
            os.eventfd_write(self._office.bell, 1)

    def text(self, workload: Workload, suffix: str) -> str:
        """What came of the log of an attempt; empty while it has another suffix."""
        file = self.folder / KEY / f"{workload.attempt_id}{suffix}"
        return file.read_text() if file.exists() else ""

    def shipper(self) -> LogShipper:
        """What sends to here from the worker of the office's home."""
        spool = Spool(self._office.bench.home / "spool")
        return LogShipper(spool, ApiCarrier(lambda: self), SystemClock())  # type: ignore[arg-type,return-value]


@pytest.fixture
def archive(office: Office, tmp_path: Path) -> Archive:
    return Archive(office, tmp_path / "archive")


def test_a_log_comes_while_its_task_runs_and_all_of_it_before_the_worker_leaves(
    office: Office, hire: Hire, archive: Archive
) -> None:
    worker = hire(logs=archive.shipper())
    running, over = office.offer("gate"), office.offer("work")
    for each in (running, over):
        worker.knock(each)
    office.wait(lambda: archive.text(running, ".part"), "the beginning of the log")
    assert "hello, world" in office.wait(lambda: archive.text(over, ".log"), "the log of what is over")
    office.bench.open_gate(running)
    worker.worker.drain()
    worker.join()
    assert "ended success" in archive.text(running, ".log")
    assert list((office.bench.home / "spool").iterdir()) == []


@pytest.mark.fault
def test_the_next_worker_sends_what_a_dead_one_left_and_what_goes_on(
    office: Office, hire: Hire, archive: Archive
) -> None:
    archive.fails = "unreachable"
    worker = hire(logs=archive.shipper(), farewell=0.0)
    running, over = office.offer("gate"), office.offer("work")
    worker.knock(running)
    worker.knock(over)
    office.said(running, "begin")
    office.report(over)
    worker.crash()
    archive.fails = ""
    after = hire(logs=archive.shipper())
    assert "hello, world" in office.wait(lambda: archive.text(over, ".log"), "the log of what is over")
    office.wait(lambda: archive.text(running, ".part"), "the beginning of the log")
    office.bench.open_gate(running)
    assert office.report(running).outcome == "success"
    after.worker.drain()
    after.join()
    assert "ended success" in archive.text(running, ".log")
    assert list((office.bench.home / "spool").iterdir()) == []
