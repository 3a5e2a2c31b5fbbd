"""The arithmetic of waits that grow."""

from __future__ import annotations

from datetime import timedelta

from clockmill.state.chance import chance

#: A wait is never longer: an instant that far away can still be written down.
LONGEST = timedelta(days=3650)
_MOST_DOUBLINGS = 60


def backoff(base: timedelta, number: int, *, seed: str, longest: timedelta | None = None) -> timedelta:
    """Wait ``number``, from 1: between half and all of ``base * 2 ** (number - 1)``, at most ``longest``.

    Where in between is derived from ``seed`` and ``number``, so that many sensors do not look at the same moment,
    and each waits as long again when it is asked again.
    """
    cap = LONGEST if longest is None else min(longest, LONGEST)
    seconds = base.total_seconds() * 2.0 ** (min(number, _MOST_DOUBLINGS) - 2)
    return timedelta(seconds=min(seconds * (1 + chance(f"{seed}/{number}")), cap.total_seconds()))
