"""Which triggerers are alive: on this host a fact of the kernel, on others a beat that goes on."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Self

from clockmill.host.locks import is_held

#: A triggerer that hangs, or of which nothing but its beat is known, counts as dead after so many seconds without one.
SILENCE = 30.0

_MARK = struct.Struct("q")


class LifeFile:
    """``NAME.lock`` of one triggerer in the run folder, held by ``flock`` for as long as its process lives.

    It holds the id of the trigger that is in a step of its code, so that others know which one a dead process died of.
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

    def mark(self, trigger_id: int) -> None:
        """A trigger begins a step; 0 when it is over."""
        if self._descriptor >= 0:
            os.pwrite(self._descriptor, _MARK.pack(trigger_id), 0)

    def marked(self) -> int:
        """The trigger that was in a step when the process died; 0 for none, or when nothing is known."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        return int(_MARK.unpack(content)[0]) if len(content) == _MARK.size else 0

    def is_dead(self) -> bool | None:
        """Whether nobody holds it; None when there is no such file here, so that only its beat can tell."""
        held = is_held(self._path)
        return None if held is None else not held

    def remove(self) -> None:
        """Delete it; its triggerer has left, or is dead."""
        self._path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Beats:
    """The beats of other triggerers, as one of them sees them: no clocks of two machines are compared."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[datetime, float]] = {}

    def silent(self, beats: Mapping[str, datetime], now: float) -> set[str]:
        """Take in a reading; returns those who have not beaten for too long.

        :param beats: the last beat of each, by name.
        :param now: monotonic seconds of this process.
        """
        self._seen = {
            name: seen if (seen := self._seen.get(name)) is not None and seen[0] == beat else (beat, now)
            for name, beat in beats.items()
        }
        return {name for name, (_, since) in self._seen.items() if now - since >= SILENCE}

    def forget(self) -> None:
        """A reading failed: whoever was silent meanwhile may not have been able to beat either."""
        self._seen.clear()
