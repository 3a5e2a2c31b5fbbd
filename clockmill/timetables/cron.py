"""Cron expressions: croniter reads them, this module walks the calendar.

croniter is asked only what the fields of an expression mean. Whether a day matches, and which instants a local time
stands for, is decided here, so that the answers around daylight saving are ours (see ``zones``), looking back is as
exact as looking forward, and an expression that never comes is found out in bounded time.
"""

from __future__ import annotations

import calendar
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import MAXYEAR, MINYEAR, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from croniter import croniter

from clockmill.errors import DagDefinitionError, did_you_mean
from clockmill.timetables.base import Appointment
from clockmill.timetables.zones import change_at, instants, local_time, zone_named

MAX_CRON_LENGTH = 200

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_YEAR, _LAST_YEAR = 1970, 2099  # what the year field can say
_HORIZON_YEARS = 50  # no combination of day, month and weekday needs longer to come again


class CronExpression:
    """What a cron expression says about naive local times.

    :param text: five fields (minute, hour, day, month, weekday), a sixth for seconds, a seventh for years; or a preset.
    :raises DagDefinitionError: when it cannot be understood, or when no day is ever like that.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parsed = _parsed(text)
        fields: list[list[Any]] = [*parsed.expanded, *([["*"]] * (7 - len(parsed.expanded)))]
        minutes, hours, self._days, months, self._weekdays, seconds, years = fields
        self._nth_weekdays: dict[Any, set[Any]] = parsed.nth_weekday_of_month
        self._near_weekdays: set[int] = getattr(parsed, "nearest_weekday", set())
        self._either_day = self._days[0] != "*" and self._weekdays[0] != "*"
        if self._either_day and (self._nth_weekdays or self._near_weekdays):
            raise DagDefinitionError(
                f"The cron expression {text!r} gives a day of the month and a weekday with 'W', '#' or 'L'; give one."
            )
        self._months = _values(months, 1, 12)
        self._years = None if years == ["*"] else frozenset(years)
        self._hours = _values(hours, 0, 23)
        self._marks = [hour * 60 + minute for hour in self._hours for minute in _values(minutes, 0, 59)]
        self._seconds = _values(seconds, 0, 59) if len(parsed.expanded) > 5 else [0]
        if next(self.days(), None) is None:
            raise DagDefinitionError(f"The cron expression {text!r} never comes: no month has such a day.")

    def after(self, local: datetime) -> datetime | None:
        """The first matching time strictly after ``local``, or None when there is none within 50 years."""
        day = local.date()
        if self._matches(day) and (second := self._second_after(_second_of_day(local))) is not None:
            return _at(day, second)
        end = date(min(day.year + _HORIZON_YEARS, MAXYEAR - 1), 12, 31)
        found = next(self._matching_days(day + _DAY, end), None)
        return None if found is None else _at(found, self._marks[0] * 60 + self._seconds[0])

    def before(self, local: datetime) -> datetime | None:
        """The newest matching time strictly before ``local``, or None when there is none within 50 years."""
        day = local.date()
        ceiling = _second_of_day(local) + (local.microsecond > 0)
        if self._matches(day) and (second := self._second_before(ceiling)) is not None:
            return _at(day, second)
        end = date(max(day.year - _HORIZON_YEARS, MINYEAR + 1), 1, 1)
        found = next(self._matching_days_back(day - _DAY, end), None)
        return None if found is None else _at(found, self._marks[-1] * 60 + self._seconds[-1])

    def days(self) -> Iterator[date]:
        """Every day that it names, from 1970 to 2099."""
        return self._matching_days(date(_FIRST_YEAR, 1, 1), date(_LAST_YEAR, 12, 31))

    def has_day(self, day: date) -> bool:
        """Whether it names that day."""
        return self._matches(day)

    def beats_through(self, start: datetime, end: datetime) -> bool:
        """Whether there is a tick in every hour of the clock from ``start`` to ``end``."""
        first = start.replace(minute=0, second=0, microsecond=0)
        count = min(24, (end - first) // timedelta(hours=1) + 1)
        return all((first.hour + step) % 24 in self._hours for step in range(count))

    def _second_after(self, second: int) -> int | None:
        minute, within = divmod(second, 60)
        index = bisect_left(self._marks, minute)
        if index < len(self._marks) and self._marks[index] == minute:
            later = bisect_right(self._seconds, within)
            if later < len(self._seconds):
                return minute * 60 + self._seconds[later]
            index += 1
        return self._marks[index] * 60 + self._seconds[0] if index < len(self._marks) else None

    def _second_before(self, second: int) -> int | None:
        minute, within = divmod(second, 60)
        index = bisect_left(self._marks, minute)
        if index < len(self._marks) and self._marks[index] == minute:
            earlier = bisect_left(self._seconds, within)
            if earlier > 0:
                return minute * 60 + self._seconds[earlier - 1]
        return self._marks[index - 1] * 60 + self._seconds[-1] if index > 0 else None

    def _matching_days(self, start: date, end: date) -> Iterator[date]:
        for year in range(start.year, end.year + 1):
            for month in self._months_of(year):
                for day in range(1, calendar.monthrange(year, month)[1] + 1):
                    if start <= (candidate := date(year, month, day)) <= end and self._matches_day(candidate):
                        yield candidate

    def _matching_days_back(self, start: date, end: date) -> Iterator[date]:
        for year in range(start.year, end.year - 1, -1):
            for month in reversed(self._months_of(year)):
                for day in range(calendar.monthrange(year, month)[1], 0, -1):
                    if end <= (candidate := date(year, month, day)) <= start and self._matches_day(candidate):
                        yield candidate

    def _months_of(self, year: int) -> Sequence[int]:
        return self._months if self._years is None or year in self._years else ()

    def _matches(self, day: date) -> bool:
        in_year = self._years is None or day.year in self._years
        return in_year and day.month in self._months and self._matches_day(day)

    def _matches_day(self, day: date) -> bool:
        """Day of month and weekday: both when one is ``*``, either of them when both are given."""
        if self._either_day:
            return self._matches_day_of_month(day) or self._matches_weekday(day)
        return self._matches_day_of_month(day) and self._matches_weekday(day)

    def _matches_day_of_month(self, day: date) -> bool:
        if self._near_weekdays:
            return any(day.day == _nearest_weekday(day.year, day.month, near) for near in self._near_weekdays)
        if self._days == ["*"] or day.day in self._days:
            return True
        return "l" in self._days and day.day == calendar.monthrange(day.year, day.month)[1]

    def _matches_weekday(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if not self._nth_weekdays:
            return self._weekdays == ["*"] or weekday in self._weekdays
        wanted = self._nth_weekdays.get(weekday, set()) | self._nth_weekdays.get("*", set())
        is_last = day.day + 7 > calendar.monthrange(day.year, day.month)[1]
        return (day.day - 1) // 7 + 1 in wanted or (is_last and "l" in wanted)


@lru_cache(maxsize=1024)
def cron_expression(text: str) -> CronExpression:
    """The expression ``text``, read once for all that use it."""
    return CronExpression(text)


class CronRecurrence:
    """The instants at which a cron expression ticks in a time zone."""

    def __init__(self, cron: str, timezone: str) -> None:
        self._cron = cron_expression(cron)
        self._zone = zone_named(timezone)

    def after(self, moment: datetime) -> datetime | None:
        """The first tick strictly after ``moment``.

        Local times are taken in order from the beginning of what may be repeated around ``moment``, until one of
        them counts only later: whatever follows it counts later still.
        """
        local, repeated = self._around(moment)
        found: list[datetime] = []
        tick = self._cron.after(local - repeated)
        while tick is not None:
            counts = self._instants(tick)
            later = [instant for instant in counts if instant > moment]
            found += later
            if later and (tick > local or later == counts):
                break
            tick = self._cron.after(tick)
        return min(found, default=None)

    def until(self, moment: datetime) -> datetime | None:
        """The newest tick at or before ``moment``; the search of :meth:`after`, backwards."""
        local, repeated = self._around(moment)
        found: list[datetime] = []
        tick = self._cron.before(local + repeated + _MICROSECOND)
        while tick is not None:
            counts = self._instants(tick)
            earlier = [instant for instant in counts if instant <= moment]
            found += earlier
            if earlier and (tick <= local or earlier == counts):
                break
            tick = self._cron.before(tick)
        return max(found, default=None)

    def appointments(self, first: datetime, last: datetime) -> Iterator[Appointment]:
        """The local times of the expression in [``first``, ``last``), and when they count."""
        local = self._cron.after(first - _MICROSECOND)
        while local is not None and local < last:
            yield Appointment(local, tuple(self._instants(local)))
            local = self._cron.after(local)

    def _around(self, moment: datetime) -> tuple[datetime, timedelta]:
        local = local_time(moment, self._zone)
        return local, max(change_at(local, self._zone), timedelta(0))

    def _instants(self, local: datetime) -> list[datetime]:
        return instants(local, self._zone, self._beats)

    def _beats(self, local: datetime, change: timedelta) -> bool:
        return self._cron.beats_through(local - abs(change), local + abs(change))


def _parsed(text: str) -> croniter:
    if len(text) > MAX_CRON_LENGTH:
        raise DagDefinitionError(
            f"The cron expression {text[:40]!r}... has {len(text)} characters; at most {MAX_CRON_LENGTH} are allowed."
        )
    plain = PRESETS.get(text.strip(), text)
    if plain.lstrip().startswith("@"):
        hint = did_you_mean(text, [*PRESETS, "@once", "@continuous"])
        raise DagDefinitionError(f"The schedule {text!r} is no preset that is known.{hint}")
    if any(field[:1] in "hHrR" for field in plain.split()):
        raise DagDefinitionError(
            f"The cron expression {text!r} uses 'H' or 'R', whose values would differ from one reading to the next; "
            "write the minute or hour that you want."
        )
    try:
        return croniter(plain, 0.0)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        reason = (str(error).strip().splitlines() or ["it cannot be read"])[0]
        raise DagDefinitionError(
            f"The cron expression {text!r} is not valid: {reason} Write 'minute hour day month weekday', "
            "for example '30 6 * * 1-5'."
        ) from None


def _values(field: list[Any], low: int, high: int) -> list[int]:
    return list(range(low, high + 1)) if "*" in field else sorted(value for value in field if isinstance(value, int))


def _second_of_day(local: datetime) -> int:
    return local.hour * 3600 + local.minute * 60 + local.second


def _at(day: date, second: int) -> datetime:
    return datetime.combine(day, time(second // 3600, second // 60 % 60, second % 60))


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """The Monday to Friday nearest to that day within its month."""
    last = calendar.monthrange(year, month)[1]
    day = min(day, last)
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < last else day - 2
    return day
