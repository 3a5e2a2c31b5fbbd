"""Between local calendars and instants: the one answer to times that daylight saving skips or repeats.

Calendar arithmetic is done on naive local times; this module says at which instants a local time happens:

* an ordinary local time happens once;
* a skipped one (the clock goes forward over it) counts as the first instant after the gap;
* a repeated one (the clock goes back) counts at its first occurrence.

A schedule that ticks in every hour around such a change is no appointment but a beat, and goes by elapsed time: a
skipped time does not happen, and a repeated one happens twice.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from clockmill.errors import DagDefinitionError, did_you_mean

#: Instants beyond these cannot be shown in every time zone, so no timetable goes there.
EARLIEST = datetime(MINYEAR + 1, 1, 1, tzinfo=UTC)
LATEST = datetime(MAXYEAR - 1, 1, 1, tzinfo=UTC)

_NONE = timedelta(0)


def zone_named(name: str) -> ZoneInfo:
    """The time zone with that IANA name.

    :raises DagDefinitionError: when there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError):
        hint = did_you_mean(str(name), available_timezones())
        raise DagDefinitionError(
            f"The time zone {name!r} is not known; use an IANA name such as 'UTC' or 'Europe/Zurich'.{hint}"
        ) from None


def clamped(moment: datetime) -> datetime:
    """``moment`` in UTC, or the nearest one that can be shown in every time zone.

    UTC because Python adds to a local time what the clock on the wall shows, not what elapses.
    """
    return min(max(moment, EARLIEST), LATEST).astimezone(UTC)


def local_time(moment: datetime, zone: ZoneInfo) -> datetime:
    """What a clock on the wall shows at ``moment``, as a naive time."""
    return clamped(moment).astimezone(zone).replace(tzinfo=None, fold=0)


def change_at(local: datetime, zone: ZoneInfo) -> timedelta:
    """By how much the clock is put back around ``local``: positive when it is repeated, negative when it is
    skipped, zero when it is an ordinary time."""
    first = local.replace(tzinfo=zone, fold=0).utcoffset()
    second = local.replace(tzinfo=zone, fold=1).utcoffset()
    if first is None or second is None:
        return _NONE
    return first - second


def instants(local: datetime, zone: ZoneInfo, beats: Callable[[datetime, timedelta], bool]) -> list[datetime]:
    """The instants at which the naive time ``local`` counts, oldest first: none, one or two.

    :param beats: whether the schedule goes by elapsed time around a change; given ``local`` and :func:`change_at`.
    """
    change = change_at(local, zone)
    first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if not change:
        return [first]
    elapsed = beats(local, change)
    if change > _NONE:
        return [first, first + change] if elapsed else [first]
    return [] if elapsed else [_end_of_gap(first, -change, zone)]


def first_instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which an appointment at the naive time ``local`` counts."""
    return instants(local, zone, lambda _local, _change: False)[0]


def _end_of_gap(inside: datetime, length: timedelta, zone: ZoneInfo) -> datetime:
    """The first instant after the gap, from the instant that a skipped time stands for with the offset before it.

    That instant lies after the change by less than the length of the gap; the change is found by halving.
    """
    low, high = inside - length, inside  # the offset changes in (low, high]
    new = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == new:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)
