"""The only place that reads the time or sleeps, so that tests can put a fake clock in its place."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a service reads the time."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC, for what is stored and shown."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps, for durations and deadlines.

        It stands still while the machine is suspended: what nobody could do anything about is held against nobody.
        """
        ...

    def since_boot(self) -> float:
        """Seconds that go on while the machine is suspended; all its processes read the same.

        For what was promised to other machines, which did not stand still meanwhile. Who waits for others has to use
        :meth:`monotonic`: after a suspension they would seem to have been silent for all of it.
        """
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def since_boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def iso(moment: datetime) -> str:
    """``moment`` as ISO 8601 in UTC with microseconds, the form of every time that we print or store."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def iso_or_none(moment: datetime | None) -> str | None:
    """``moment`` as :func:`iso` writes it; None stays None."""
    return None if moment is None else iso(moment)


def parse_iso(text: str) -> datetime:
    """The instant written by :func:`iso`; a text without an offset is taken as UTC.

    :raises ValueError: when the text is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_iso_or_none(text: str | None) -> datetime | None:
    """The instant that :func:`parse_iso` reads; None, or an empty text, is None."""
    return parse_iso(text) if text else None


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds until the next try, twice as many with each failure.

    :param failures: how many there were before the last one.
    :param first: seconds after the first failure.
    :param longest: seconds that are never exceeded.
    """
    return min(first * 2.0 ** min(failures, 60), longest)
