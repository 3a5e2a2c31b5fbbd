"""Watches that attempts keep to the memory that they asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from clockmill.clock import Clock
from clockmill.host import memory
from clockmill.protocols import Workload
from clockmill.state.resources import MEMORY, spoken_size

#: How often it is looked, in seconds.
LOOK_SECONDS = 1.0
#: What processes share is looked for so seldom, in seconds: it takes long where they have much.
_CLOSE_LOOK_SECONDS = 5.0


def asked_memory(workload: Workload) -> float | None:
    """The bytes of memory that an attempt asked for; None when it did not."""
    return workload.resources.get(MEMORY)


def overuse(workload: Workload, used: int) -> str:
    """Why an attempt that uses more is ended."""
    return f"It used {spoken_size(used)} of the {spoken_size(workload.resources[MEMORY])} that it asked for."


@dataclass(slots=True)
class _Watched:
    """An attempt that asked for memory.

    :param leader: its process.
    :param reaper: the process that its orphans go to.
    :param close_look_at: when what its processes share may be looked for again.
    """

    leader: int
    reaper: int
    limit: float
    peak: int = 0
    close_look_at: float = 0.0


class MemoryWatch:
    """The attempts that asked for memory; without one it costs nothing.

    :param on_excess: called with an attempt that uses more than it asked for, and the bytes.
    """

    def __init__(self, clock: Clock, on_excess: Callable[[str, int], None]) -> None:
        self._clock = clock
        self._on_excess = on_excess
        self._watched: dict[str, _Watched] = {}
        self.due = math.inf

    def begin(self, workload: Workload, leader: int, reaper: int) -> None:
        """The process of an attempt was started."""
        limit = asked_memory(workload)
        if limit is not None:
            self._watched[workload.attempt_id] = _Watched(leader, reaper, limit)
            self.due = min(self.due, self._clock.monotonic() + LOOK_SECONDS)

    def end(self, attempt_id: str) -> int:
        """An attempt is over; returns the most kilobytes that all its processes were seen with, 0 when never."""
        watched = self._watched.pop(attempt_id, None)
        return 0 if watched is None else watched.peak >> 10

    def check(self, now: float) -> None:
        """Look, when it is time."""
        if now < self.due:
            return
        for attempt_id, watched in list(self._watched.items()):
            used = self._measure(watched, now)
            watched.peak = max(watched.peak, used)
            if used > watched.limit:
                self._on_excess(attempt_id, used)
        self.due = self._clock.monotonic() + LOOK_SECONDS if self._watched else math.inf

    def _measure(self, watched: _Watched, now: float) -> int:
        """What it uses; what is shared is looked for only when it matters."""
        pids = memory.family(watched.leader, watched.reaper)
        used = memory.resident(pids)
        if used <= watched.limit:
            return used
        if now < watched.close_look_at:
            return 0
        used = memory.proportional(pids)
        if used <= watched.limit:
            watched.close_look_at = now + _CLOSE_LOOK_SECONDS
        return used
