"""Recurrences made of others: several in one, and one without the days that are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from heapq import merge
from typing import Any

from clockmill.errors import DagDefinitionError
from clockmill.timetables.base import Appointment, Recurrence
from clockmill.timetables.cron import cron_expression
from clockmill.timetables.zones import LATEST, change_at, first_instant, local_time, zone_named

#: A day, a range of days with both ends in it, or a cron expression of which every day is meant.
Skip = date | tuple[date, date] | str

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
#: A tick that is further away than this, because everything before it is left out, does not come.
_HORIZON = timedelta(days=50 * 366)
_LAST_DAY = LATEST.date()


class Union:
    """The instants of several recurrences, each once."""

    def __init__(self, parts: Sequence[Recurrence]) -> None:
        self._parts = parts

    def after(self, moment: datetime) -> datetime | None:
        """The first instant strictly after ``moment``."""
        return min(filter(None, (part.after(moment) for part in self._parts)), default=None)

    def until(self, moment: datetime) -> datetime | None:
        """The newest instant at or before ``moment``."""
        return max(filter(None, (part.until(moment) for part in self._parts)), default=None)

    def appointments(self, first: datetime, last: datetime) -> Iterator[Appointment]:
        """The local times of all of them; one that several name counts when any of them says so."""
        found: dict[datetime, set[datetime]] = {}
        for each in merge(*(part.appointments(first, last) for part in self._parts), key=lambda one: one.local):
            found.setdefault(each.local, set()).update(each.instants)
        return (Appointment(local, tuple(sorted(instants))) for local, instants in found.items())


@dataclass(frozen=True)
class SkippedDays:
    """Days on which nothing is due.

    :param entries: what :func:`skipped` made of the author's ``skip``.
    """

    entries: tuple[Skip, ...]

    def last_of(self, day: date) -> date | None:
        """The last day of the stretch that leaves ``day`` out, or None when it is not left out."""
        for entry in self.entries:
            if isinstance(entry, tuple):
                if entry[0] <= day <= entry[1]:
                    return entry[1]
            elif cron_expression(entry).has_day(day) if isinstance(entry, str) else entry == day:
                return day
        return None

    def leave_one_of(self, crons: Iterable[str]) -> bool:
        """Whether the expressions name a day that is not left out."""
        return any(self.last_of(day) is None for cron in crons for day in cron_expression(cron).days())

    def to_json(self) -> list[Any]:
        """As JSON knows them; :func:`skipped` reads them again."""
        return [
            entry
            if isinstance(entry, str)
            else [day.isoformat() for day in entry]
            if isinstance(entry, tuple)
            else entry.isoformat()
            for entry in self.entries
        ]


class Skipping:
    """A recurrence without the instants whose local day is left out.

    It goes from day to day, but from instant to instant where the clock repeats a time: there, the day before may
    come back after midnight.
    """

    def __init__(self, recurrence: Recurrence, days: SkippedDays, timezone: str) -> None:
        self._recurrence = recurrence
        self._days = days
        self._zone = zone_named(timezone)

    def after(self, moment: datetime) -> datetime | None:
        """The first instant strictly after ``moment``, within 50 years."""
        instant = self._recurrence.after(moment)
        while instant is not None and (last := self._last_skipped(instant)) is not None:
            instant = self._recurrence.after(max(instant, self._end_of(last, instant)))
            if instant is not None and instant - moment > _HORIZON:
                return None
        return instant

    def until(self, moment: datetime) -> datetime | None:
        """The newest instant at or before ``moment``, within 50 years."""
        instant = self._recurrence.until(moment)
        while instant is not None and self._last_skipped(instant) is not None:
            instant = self._recurrence.until(min(instant, self._begin_of_day(instant)) - _MICROSECOND)
            if instant is not None and moment - instant > _HORIZON:
                return None
        return instant

    def _last_skipped(self, instant: datetime) -> date | None:
        return self._days.last_of(local_time(instant, self._zone).date())

    def _end_of(self, day: date, instant: datetime) -> datetime:
        """The last microsecond of a day; ``instant`` itself where its local time is repeated."""
        if self._is_repeated(instant) or day >= _LAST_DAY:
            return instant
        return first_instant(datetime.combine(day + _DAY, time()), self._zone) - _MICROSECOND

    def _begin_of_day(self, instant: datetime) -> datetime:
        """Where the day of ``instant`` begins for the last time; ``instant`` itself where its time is repeated."""
        if self._is_repeated(instant):
            return instant
        midnight = datetime.combine(local_time(instant, self._zone).date(), time())
        return first_instant(midnight, self._zone) + max(change_at(midnight, self._zone), timedelta(0))

    def _is_repeated(self, instant: datetime) -> bool:
        return change_at(local_time(instant, self._zone), self._zone) > timedelta(0)

    def appointments(self, first: datetime, last: datetime) -> Iterator[Appointment]:
        """The local times that are left."""
        for each in self._recurrence.appointments(first, last):
            if self._days.last_of(each.local.date()) is None:
                yield each


def skipped(given: Any) -> SkippedDays:
    """What an author gives as ``skip``: one entry or a list of them, days also as ISO 8601 text.

    :raises DagDefinitionError: when an entry is none.
    """
    alone = not isinstance(given, Iterable) or isinstance(given, str) or _is_range(given)
    return SkippedDays(tuple(_entry(each) for each in ([given] if alone else given)))


def _is_range(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and all(_day(each) is not None for each in given)


def _entry(given: Any) -> Skip:
    if (day := _day(given)) is not None:
        return day
    if isinstance(given, str):
        return cron_expression(given).text
    days = [_day(each) for each in given] if isinstance(given, (tuple, list)) and len(given) == 2 else []
    if len(days) == 2 and (first := days[0]) is not None and (last := days[1]) is not None and first <= last:
        return (first, last)
    raise DagDefinitionError(
        f"The skip {given!r} of a schedule is no day; give a date, a pair of dates with the earlier one first, or a "
        "cron expression."
    )


def _day(given: Any) -> date | None:
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    try:
        return date.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        return None
