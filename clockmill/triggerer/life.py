"""Which triggerers are alive: on this host a fact of the kernel, on others a beat that goes on."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from datetime import datetime

from clockmill.host.locks import LifeLock

#: A triggerer that hangs, or of which nothing but its beat is known, counts as dead after so many seconds without one.
SILENCE = 30.0

_MARK = struct.Struct("q")


class LifeFile(LifeLock):
    """The lock of one triggerer in the run folder.

    It holds the id of the trigger that is in a step of its code, so that others know which one a dead process died of.
    """

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
