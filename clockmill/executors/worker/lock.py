"""The lock of a worker's name on its machine: one at a time has it, and the next one finds who had it before."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from clockmill.errors import Conflict


class WorkerLock:
    """A folder with a lock file and a note of who holds the lock.

    :param folder: made when it is missing.
    :param name: of the worker, for messages.
    :ivar previous: the ids of workers that held it and have not left in good order. There are more than one when one
        ended before it knew whether it was registered.
    :ivar epoch: how often it was taken.
    :raises Conflict: when a worker of this name is running.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._note = folder / "worker.json"
        self._lock = _locked(folder / "worker.lock", name)
        known = self._read()
        self.previous = [str(each) for each in known.get("ids", [])]
        self.epoch = int(known.get("epoch", 0)) + 1
        self._ids = self.previous

    def note(self, worker_id: str, *, alone: bool = False) -> None:
        """Note who holds it now, before that one is registered.

        :param alone: it is known to be registered, and to have taken over from those before it.
        """
        self._ids = [worker_id] if alone else list(dict.fromkeys([*self._ids, worker_id]))
        self._write({"ids": self._ids, "epoch": self.epoch})

    def clear(self) -> None:
        """Note that whoever held it has left in good order: the next one follows nobody."""
        self._write({"epoch": self.epoch})

    def release(self) -> None:
        """Let others have it."""
        os.close(self._lock)

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._note.read_text())
            return known if isinstance(known, dict) else {}
        return {}

    def _write(self, known: dict[str, Any]) -> None:
        draft = self._note.with_suffix(".new")
        try:
            with draft.open("w") as file:
                json.dump(known, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._note)
        except OSError as error:  # the one of a full disk does not say what could not be written
            raise OSError(error.errno, error.strerror, str(self._note)) from error


def _locked(path: Path, name: str) -> int:
    """The descriptor of a lock file that is held, with our process id in it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        taken_by = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise Conflict(
            f"A worker named {name!r} is running on this home already (process {taken_by}): stop it first, or "
            "give this one another name with --name."
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock
