"""The place of a worker on its machine: one at a time has it, and the next one finds who was there before."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clockmill.errors import Conflict


@dataclass
class Seat:
    """A folder with a lock file and a note of who sits there.

    :param folder: made when it is missing.
    :param name: of the worker, for messages.
    :ivar previous: the ids of workers that were here and have not said goodbye. There are more than one when one ended
        before it knew whether it was registered.
    :ivar epoch: how often somebody has sat down here.
    :raises Conflict: when a worker of this name is running.
    """

    folder: Path
    name: str
    previous: list[str] = field(default_factory=list)
    epoch: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._note = self.folder / "worker.json"
        self._lock = os.open(self.folder / "worker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken_by = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise Conflict(
                f"A worker named {self.name!r} is running on this home already (process {taken_by}): stop it first, or "
                "give this one another name with --name."
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        known = self._read()
        self.previous = [str(each) for each in known.get("ids", [])]
        self._ids = self.previous
        self.epoch = int(known.get("epoch", 0)) + 1

    def sit_down(self, worker_id: str, *, alone: bool = False) -> None:
        """Note who is here now, before it is registered.

        :param alone: it is known to be registered, and to have taken over from those before it.
        """
        self._ids = [worker_id] if alone else [*self._ids, worker_id]
        self._write({"ids": self._ids, "epoch": self.epoch})

    def say_goodbye(self) -> None:
        """Note that nobody is here any more: the next one follows nobody."""
        self._write({"epoch": self.epoch})

    def leave(self) -> None:
        """Let others sit here."""
        os.close(self._lock)

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._note.read_text())
            return known if isinstance(known, dict) else {}
        return {}

    def _write(self, known: dict[str, Any]) -> None:
        draft = self._note.with_suffix(".new")
        with draft.open("w") as file:
            json.dump(known, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._note)
