"""A brokered executor: doorbells are notes on a board, a folder that all machines see."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from clockmill.errors import ConfigError
from clockmill.executors.base import BrokeredExecutor, Offer
from clockmill.executors.setup import ExecutorSetup

#: So many doorbells wait for a board that is slow, at most; all are rung again later.
MOST = 10_000


class BoardExecutor(BrokeredExecutor):
    """Pins a note for each attempt to a board, where workers look for them.

    :param setup: the option ``folder`` is the board, an absolute path that all machines have.
    :raises ConfigError: when it is none.
    """

    def __init__(self, setup: ExecutorSetup) -> None:
        super().__init__(setup.name)
        folder = Path(setup.read_options({"folder": ""})["folder"])
        if not folder.is_absolute():
            raise ConfigError(f"[executor.{setup.name}] folder is '{folder}', but must be an absolute path.")
        self._board = folder / setup.name
        self._notes: queue.Queue[Offer | None] | None = None

    def start(self, epoch: int) -> None:
        """Begin to write, in a thread: a folder on another machine may be slow, and the scheduler must not be."""
        super().start(epoch)
        if self._notes is None:
            self._notes = queue.Queue(MOST)
            threading.Thread(target=self._write, args=[self._notes], daemon=True).start()

    def offer(self, offers: Sequence[Offer]) -> None:
        """Have these written down; those for which there is no room are offered again by the scheduler."""
        with contextlib.suppress(queue.Full):
            for each in offers:
                if self._notes is not None:
                    self._notes.put_nowait(each)

    def worker_command(self, queues: Sequence[str]) -> str:
        """What a scheduler tells people to type that finds no worker."""
        return f"clockmill-board-worker {' '.join(queues)}"

    def stop(self, grace: float) -> None:
        """Write no more."""
        super().stop(grace)
        self.detach()

    def detach(self) -> None:
        """Let the thread end."""
        if self._notes is not None:
            with contextlib.suppress(queue.Empty):
                while True:
                    self._notes.get_nowait()
            self._notes.put(None)
            self._notes = None

    def _write(self, notes: queue.Queue[Offer | None]) -> None:
        while (offer := notes.get()) is not None:
            with contextlib.suppress(OSError, ValueError):  # the board is away, or takes no such name
                folder = self._board / quote(f"-{offer.queue}", safe="")
                folder.mkdir(parents=True, exist_ok=True)
                draft = self._board / "draft"
                draft.write_text(offer.token)
                draft.replace(folder / offer.attempt_id)


def take_down(board: Path, queue_name: str) -> Iterator[tuple[str, str]]:
    """The notes of a queue, as a worker takes them from the board: ``(attempt id, token)``."""
    folder = board / quote(f"-{queue_name}", safe="")
    with contextlib.suppress(OSError):  # there is none yet, or another worker was faster
        for note in sorted(folder.iterdir()):
            token = note.read_text()
            note.unlink()
            yield note.name, token
