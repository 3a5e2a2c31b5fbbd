"""How much a worker may claim beyond its free slots, so that short tasks need not wait for each letter.

A task of some milliseconds is over before the answer to the next letter is here. While tasks are that short, a worker
claims what it will have begun within a tenth of a second. What then waits for longer, because a task took its time
after all, is given back at once, and spends nothing by that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

#: What is claimed ahead would have begun within so many seconds.
WINDOW = 0.1
#: Seconds after which what has not begun is given back.
PATIENCE = 0.5
#: Seconds after which it is given back where no supervisor has come that could begin it.
ALONE = 30.0
#: So many for each slot, at most.
_MOST_PER_SLOT = 20
#: How much the newest task counts in the mean.
_WEIGHT = 0.2


class Ahead:
    """What one worker knows of how long its tasks take. All moments are monotonic seconds."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._since: dict[str, float] = {}
        self._mean: float | None = None

    def begun(self, attempt_ids: Iterable[str], now: float) -> None:
        """These were handed to the supervisor."""
        self._since.update(dict.fromkeys(attempt_ids, now))

    def found(self, attempt_ids: Iterable[str]) -> None:
        """A supervisor has these from a worker before this one: nobody knows since when, so they count as long ones."""
        for ident in attempt_ids:
            self._since.setdefault(ident, -math.inf)

    def over(self, attempt_id: str, now: float) -> None:
        """One of them is over."""
        since = self._since.pop(attempt_id, -math.inf)
        if since > -math.inf:
            self._took(now - since)

    def lost(self, attempt_id: str) -> None:
        """One of them is gone, after a time that says nothing."""
        self._since.pop(attempt_id, None)

    def _took(self, seconds: float) -> None:
        self._mean = seconds if self._mean is None else self._mean + _WEIGHT * (seconds - self._mean)

    def stuck(self) -> None:
        """What was claimed ahead did not begin in time: nothing more is, until tasks are short again."""
        self._mean = WINDOW * (1 + _MOST_PER_SLOT)

    @property
    def blocked_at(self) -> float:
        """When each slot will have been taken by one task for longer than the window; ``inf`` while one is free."""
        since = sorted(self._since.values())
        return since[self._slots - 1] + WINDOW if len(since) >= self._slots else math.inf

    def allowed(self, now: float) -> int:
        """How many may be held beyond the slots: none for a slot that one task has taken for longer than the window."""
        if self._mean is None:
            return 0
        slow = sum(now - since > WINDOW for since in self._since.values())
        per_slot = min(_MOST_PER_SLOT, int(WINDOW / max(self._mean, 0.001)))
        return per_slot * max(0, self._slots - slow)
