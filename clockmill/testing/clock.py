"""A clock that stands still until it is told to go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Satisfies :class:`~clockmill.clock.Clock`; sleeping moves it on at once.

    :param now: what it shows first; aware.
    :ivar suspended: the seconds for which the machine was suspended; to be added to by a test.
    :ivar slept: the seconds of each sleep, in order.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 0.0
        self.suspended = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def since_boot(self) -> float:
        return self._monotonic + self.suspended

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set(self, now: datetime) -> None:
        """Step the wall clock alone, as a correction of the machine's time does."""
        self._now = now
