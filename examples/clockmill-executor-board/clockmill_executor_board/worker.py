"""``clockmill-board-worker [QUEUE ...]``: runs on this machine what schedulers pin to the board."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from clockmill import config
from clockmill.cli import servicelog
from clockmill.cli.worker_wiring import make_worker, worker_setup
from clockmill.clock import SystemClock
from clockmill.errors import ClockmillError
from clockmill.executors.worker import Worker
from clockmill_executor_board import BoardExecutor, take_down

#: Seconds between two looks at the board.
LOOK = 0.5


class BoardWorker:
    """A worker, and a thread that takes notes from the board for it while it wants any.

    :param queues: the queues that it serves.
    :raises UsageError: when the settings name no board, or a worker of this home is running.
    """

    def __init__(self, settings: config.Settings, queues: Sequence[str]) -> None:
        setup = worker_setup(settings, SystemClock(), BoardExecutor)
        self.worker: Worker = make_worker(settings, setup, queues)
        self.worker.door.attend(missed=lambda: None, welcome=self._welcome)
        self._board = Path(setup.options["folder"]) / setup.name
        self._queues = queues
        self._most = setup.slots
        self._is_welcome = True
        self._is_over = threading.Event()

    def run(self) -> None:
        """Work until the worker has left."""
        reader = threading.Thread(target=self._read)
        reader.start()
        try:
            self.worker.run()
        finally:
            self._is_over.set()
            reader.join()

    def _welcome(self, is_welcome: bool) -> None:
        self._is_welcome = is_welcome

    def _read(self) -> None:
        """What comes of a note is left to the worker: an attempt that nobody claims is offered again."""
        while not self._is_over.wait(LOOK):
            for queue in self._queues if self._is_welcome else ():
                for attempt_id, token in islice(take_down(self._board, queue), self._most):
                    self.worker.knock(attempt_id, token)


def main() -> None:
    """Work until somebody asks to stop: what runs may end then, and is stopped when somebody asks again."""
    try:
        settings = config.load()
        config.create_home(settings)
        servicelog.set_up(settings)
        it = BoardWorker(settings, sys.argv[1:] or ["default"])
        asks = [it.worker.drain]

        def leave(*_: object) -> None:
            (asks.pop() if asks else it.worker.stop)()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, leave)
        it.run()
    except ClockmillError as error:
        sys.exit(f"Error: {error}")
