"""The days of the week, as DAG files name them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from clockmill.errors import did_you_mean


class WeekDay(IntEnum):
    """A day of the week, as ISO 8601 counts them."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


def week_days(value: object) -> frozenset[WeekDay]:
    """The days that an author named: one or several, by member or name; ``{"Saturday", "Sunday"}``.

    :raises ValueError: with the end of a sentence, when one of them is no day.
    """
    several = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    days = frozenset(_day(one) for one in several)
    if not days:
        raise ValueError("must name at least one day of the week")
    return days


def _day(value: object) -> WeekDay:
    if isinstance(value, WeekDay):
        return value
    names = [day.name.title() for day in WeekDay]
    if isinstance(value, str) and value.strip().title() in names:
        return WeekDay[value.strip().upper()]
    hint = did_you_mean(value.title(), names) if isinstance(value, str) else ""
    raise ValueError(f"must name days of the week, such as 'Monday', not {value!r}{hint and '.' + hint.rstrip('?')}")
