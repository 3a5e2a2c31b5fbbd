"""Recurrences that repeat a length of time from an anchor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta

from clockmill.errors import DagDefinitionError
from clockmill.timetables.base import Appointment
from clockmill.timetables.zones import clamped, first_instant, local_time, zone_named

#: The anchor of a schedule whose DAG has no start date.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PARTS = ("years", "months", "days", "hours", "minutes", "seconds", "microseconds")
_ABSOLUTE = ("year", "month", "day", "weekday", "hour", "minute", "second", "microsecond")
_SHORTEST = timedelta(seconds=1)


class DeltaRecurrence:
    """The instants ``anchor + n * delta`` for n = 0, 1, 2...

    A ``timedelta`` counts elapsed time. Of a ``relativedelta``, years, months and days are counted on the calendar of
    the time zone, from the anchor and not from tick to tick, so that the 31st comes back after February; hours and
    less count elapsed time.

    :raises DagDefinitionError: when ``delta`` is not at least a second long, or not a pure length.
    """

    def __init__(self, delta: timedelta | relativedelta, anchor: datetime, timezone: str) -> None:
        parts = delta_parts(delta)
        self._months = int(parts.get("years", 0) * 12 + parts.get("months", 0))
        self._days = int(parts.get("days", 0)) if isinstance(delta, relativedelta) else 0
        self._elapsed = delta if isinstance(delta, timedelta) else _elapsed(parts)
        self._anchor = clamped(anchor)
        self._zone = zone_named(timezone)
        self._local_anchor = local_time(self._anchor, self._zone)
        self._typical = timedelta(days=self._months * 30 + self._days) + self._elapsed

    def after(self, moment: datetime) -> datetime | None:
        """The first instant strictly after ``moment``."""
        count = self._count(lambda instant: instant > moment, moment)
        return self._instant(count)

    def until(self, moment: datetime) -> datetime | None:
        """The newest instant at or before ``moment``; None before the anchor."""
        count = self._count(lambda instant: instant > moment, moment) - 1
        return self._instant(count) if count >= 0 else None

    def appointments(self, first: datetime, last: datetime) -> Iterator[Appointment]:
        """The local times in [``first``, ``last``) of a length in days, months or years; a shorter one names none."""
        if self._elapsed or not (self._months or self._days):
            return
        count = max(
            0, self._count(lambda instant: instant > first_instant(first, self._zone), first.replace(tzinfo=UTC)) - 2
        )
        while (local := self._local(count)) is not None and local < last:
            if local >= first:
                yield Appointment(local, (first_instant(local, self._zone),))
            count += 1

    def _local(self, count: int) -> datetime | None:
        try:
            return self._local_anchor + relativedelta(months=self._months * count, days=self._days * count)
        except (OverflowError, ValueError):
            return None  # beyond the year 9999

    def _instant(self, count: int) -> datetime | None:
        try:
            if not self._months and not self._days:
                return self._anchor + self._elapsed * count
            local = self._local(count)
            return None if local is None else first_instant(local, self._zone) + self._elapsed * count
        except (OverflowError, ValueError):
            return None  # beyond the year 9999

    def _count(self, reached: Callable[[datetime], bool], moment: datetime) -> int:
        """The least n for which the instant is ``reached`` or beyond the end of time, found by halving."""

        def is_reached(count: int) -> bool:
            instant = self._instant(count)
            return instant is None or reached(instant)

        low, high = -1, max(1, (clamped(moment) - self._anchor) // self._typical)  # low is not reached
        while not is_reached(high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if is_reached(middle) else (middle, high)
        return high


def delta_parts(delta: timedelta | relativedelta) -> dict[str, int | float]:
    """The parts of ``delta`` as JSON knows them.

    :raises DagDefinitionError: when it cannot be a schedule.
    """
    if isinstance(delta, timedelta):
        if delta < _SHORTEST:
            raise DagDefinitionError(f"The schedule {delta} is too short; the shortest is one second.")
        return {"days": delta.days, "seconds": delta.seconds, "microseconds": delta.microseconds}
    absolute = [name for name in _ABSOLUTE if getattr(delta, name) is not None]
    if absolute or delta.leapdays:
        named = absolute[0] if absolute else "leapdays"
        raise DagDefinitionError(
            f"The schedule {delta!r} fixes {named!r}; only lengths such as months=1 can be repeated. "
            "Use a cron expression for fixed days and times."
        )
    parts = {name: value for name in _PARTS if (value := getattr(delta, name))}
    if not parts or min(parts.values()) < 0 or (not _calendar_days(parts) and _elapsed(parts) < _SHORTEST):
        raise DagDefinitionError(f"The schedule {delta!r} must go forward, by at least one second.")
    return parts


def delta_from_parts(parts: dict[str, Any], *, calendar: bool) -> timedelta | relativedelta:
    """What :func:`delta_parts` was given."""
    return relativedelta(**parts) if calendar else timedelta(**parts)


def _calendar_days(parts: dict[str, int | float]) -> bool:
    return any(parts.get(name) for name in ("years", "months", "days"))


def _elapsed(parts: dict[str, int | float]) -> timedelta:
    return timedelta(**{name: parts.get(name, 0) for name in _PARTS[3:]})
