"""The worker of the example package with a brokered executor comes, hears notes and leaves."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from clockmill import config
from clockmill.clock import SystemClock
from clockmill.executors.base import Offer
from clockmill.storage.engine import Database
from clockmill.storage.worker_list import list_workers

EXAMPLE = Path(__file__).parents[2] / "examples" / "clockmill-executor-board"
PATIENCE = 60.0


def test_its_worker_takes_notes_from_the_board_until_it_is_asked_to_leave(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    from clockmill_executor_board import BoardExecutor
    from clockmill_executor_board.worker import BoardWorker

    from clockmill.cli.worker_wiring import worker_setup

    (tmp_path / "clockmill.toml").write_text(
        f'[core]\nexecutor = "local,board:clockmill_executor_board:BoardExecutor"\n[database]\nurl = "{sqlite_url}"\n'
        f'[executor.board]\nfolder = "{tmp_path}/board"\nslots = 3\n'
    )
    settings = config.load(tmp_path, environ={})
    config.create_home(settings)
    board = BoardWorker(settings, ["default", "large"])
    thread = threading.Thread(target=board.run)
    thread.start()
    database, clock = Database(sqlite_url), SystemClock()

    def wait_until(holds: Any) -> None:
        deadline = clock.monotonic() + PATIENCE
        while not holds():
            assert clock.monotonic() < deadline
            clock.sleep(0.01)

    def workers() -> list[tuple[str, list[str], int]]:
        return [(each.executor, each.queues, each.slots) for each in database.read(lambda c: list_workers(c, None))]

    executor = BoardExecutor(worker_setup(settings, clock, BoardExecutor))
    try:
        wait_until(lambda: workers() == [("board", ["default", "large"], 3)])
        executor.start(1)
        executor.offer([Offer(attempt_id="a" * 32, token="t", queue="large", priority=1)])
        folder = tmp_path / "board" / "board"
        wait_until(lambda: folder.is_dir() and any(folder.iterdir()))
        wait_until(lambda: not [each for each in folder.rglob("*") if each.is_file()])
    finally:
        executor.stop(0)
        board.worker.drain()
        thread.join(PATIENCE)
    database.close()
    assert not thread.is_alive()
