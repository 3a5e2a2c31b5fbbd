"""How much a worker may claim beyond its free slots, so that short tasks need not wait for each letter.

A task of some milliseconds is over before the answer to the next letter is here. While tasks are that short, a worker
claims what it will have begun within a tenth of a second. What then waits for longer, because a task took its time
after all, is given back at once, and spends nothing by that.
"""

from __future__ import annotations

#: What is claimed ahead would have begun within so many seconds.
WINDOW = 0.1
#: Seconds after which what has not begun is given back.
PATIENCE = 0.5
#: So many for each slot, at most.
_MOST_PER_SLOT = 20
#: How much the newest task counts in the mean.
_WEIGHT = 0.2


class Ahead:
    """What one worker knows of how long its tasks take."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._mean: float | None = None

    def ended(self, seconds: float) -> None:
        """A task was over so many seconds after it was handed to the supervisor."""
        self._mean = seconds if self._mean is None else self._mean + _WEIGHT * (seconds - self._mean)

    def stuck(self) -> None:
        """What was claimed ahead did not begin in time: nothing more is, until tasks are short again."""
        self._mean = WINDOW * (1 + _MOST_PER_SLOT)

    def allowed(self, slow: int) -> int:
        """How many may be held beyond the slots.

        :param slow: the slots that have been taken by one task for longer than the window.
        """
        if self._mean is None:
            return 0
        per_slot = min(_MOST_PER_SLOT, int(WINDOW / max(self._mean, 0.001)))
        return per_slot * max(0, self._slots - slow)
