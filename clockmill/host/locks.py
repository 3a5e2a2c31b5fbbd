"""Lock files: whether somebody holds one is a fact of the kernel, and ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Self


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock file by ``flock``; None when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class LifeLock:
    """``NAME.lock`` in a folder, held by ``flock`` for as long as its process lives.

    :param name: one that nobody ever had.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.lock"
        self._descriptor = -1

    def hold(self) -> Self:
        """Make it, and hold it until the end of this process."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def is_dead(self) -> bool | None:
        """Whether nobody holds it; None when there is no such file here: it is of another home, or has left."""
        held = is_held(self._path)
        return None if held is None else not held

    def remove(self) -> None:
        """Delete it; its process has left, or is dead."""
        self._path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def kill_holder(path: Path, descriptor: int) -> None:
    """Kill the process that has the lock file open as that descriptor, though it may be halted; it may be gone."""
    wanted = path.stat()
    for pid in [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]:
        with suppress(OSError):  # it is gone, or another user's
            _kill_if(pid, Path(f"/proc/{pid}/fd/{descriptor}"), wanted)


def _kill_if(pid: int, opened: Path, wanted: os.stat_result) -> None:
    handle = os.pidfd_open(pid)  # before the look: what is found by it cannot be another process than what is killed
    try:
        if os.path.samestat(opened.stat(), wanted):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
