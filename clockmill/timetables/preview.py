"""What comes next: the ticks around a moment, and what the next change of the clock does to them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from clockmill.timetables.base import Appointment, Tick
from clockmill.timetables.custom import StoredTimetable
from clockmill.timetables.events import EventsTimetable
from clockmill.timetables.schedule import Schedule
from clockmill.timetables.timetables import ContinuousTimetable, NullTimetable
from clockmill.timetables.zones import LATEST, clamped, local_time, zone_named

_YEAR = timedelta(days=366)
_FURTHEST = 20 * _YEAR
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
#: More local times than these are told by the first and the last.
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneChange:
    """A change of the clock.

    :param at: the first instant with the new time, in UTC.
    :param before: what a clock on the wall showed until then, naive; likewise ``after``.
    """

    zone: str
    at: datetime
    before: datetime
    after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The ticks around a moment.

    :param zone: the name of the zone that the schedule goes by.
    :param upcoming: those after it, soonest first.
    :param previous: those at or before it, newest first.
    :param change: the next change of the clock in the zone of the schedule, or None when there is none soon.
    :param note: one sentence on what that change does to the ticks.
    """

    zone: str
    upcoming: tuple[Tick, ...]
    previous: tuple[Tick, ...]
    change: ZoneChange | None
    note: str


def preview(schedule: Schedule, timezone: str, moment: datetime, *, number: int = 5, previous: int = 0) -> Preview:
    """The ``number`` ticks after ``moment`` and the ``previous`` ones until then.

    :param timezone: the DAG's zone, for a timetable without one of its own. The change that is told of lies within a
        year of ``moment``, or before the last tick shown and within 20 years.
    """
    upcoming = tuple(islice(_forward(schedule, moment), number))
    zone_name = _zone_name(schedule, timezone)
    last = upcoming[-1].run_after if upcoming else moment
    horizon = min(max(moment + _YEAR, last), moment + _FURTHEST) if moment < LATEST - _FURTHEST else moment
    change = next_change(zone_name, moment, horizon)
    return Preview(
        zone=zone_name,
        upcoming=upcoming,
        previous=tuple(islice(_backward(schedule, moment), previous)),
        change=change,
        note=f"The clock of {zone_name} does not change within a year." if change is None else _told(schedule, change),
    )


def _zone_name(schedule: Schedule, timezone: str) -> str:
    if isinstance(schedule.timetable, EventsTimetable):  # stored as instants; they were given in the DAG's zone
        return timezone
    return getattr(schedule.timetable, "timezone", None) or timezone


def next_change(zone_name: str, after: datetime, until: datetime) -> ZoneChange | None:
    """The first change of the clock of a zone in (``after``, ``until``], or None."""
    zone = zone_named(zone_name)
    low, until = clamped(after).replace(microsecond=0), clamped(until)
    offset = low.astimezone(zone).utcoffset()
    while low < until:
        high = min(low + _DAY, until)
        if high.astimezone(zone).utcoffset() != offset:
            at = _first_with_other(low, high, zone)
            before = local_time(at - _MICROSECOND, zone) + _MICROSECOND
            return ZoneChange(zone=zone_name, at=at, before=before, after=local_time(at, zone))
        low = high
    return None


def _first_with_other(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first second in (``low``, ``high``] with another offset than ``low``."""
    offset = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def _forward(schedule: Schedule, moment: datetime) -> Iterator[Tick]:
    while (tick := schedule.next_after(moment)) is not None:
        yield tick
        if isinstance(schedule.timetable, ContinuousTimetable):
            return  # the ones after it depend on how long the runs take
        moment = tick.run_after


def _backward(schedule: Schedule, moment: datetime) -> Iterator[Tick]:
    if isinstance(schedule.timetable, ContinuousTimetable):
        return
    while (tick := schedule.newest_until(moment)) is not None:
        yield tick
        moment = tick.run_after - _MICROSECOND


def _told(schedule: Schedule, change: ZoneChange) -> str:
    """One sentence: the change, and what it does."""
    length = abs(change.after - change.before)
    way = "forward" if change.after > change.before else "back"
    day = f"{change.before:%Y-%m-%d}"
    begin = f"On {day} at {change.before:%H:%M}, the clock of {change.zone} goes {way} by {_length(length)}"
    return f"{begin} to {change.after:%H:%M}: {_effect(schedule, change)}."


def _effect(schedule: Schedule, change: ZoneChange) -> str:
    timetable = schedule.timetable
    if isinstance(timetable, NullTimetable):
        return "without a schedule, nothing is due"
    if isinstance(timetable, StoredTimetable):
        return "what the timetable makes of it shows in the ticks"
    recurrence = getattr(timetable, "recurrence", None)
    if recurrence is None:
        return "its ticks are instants, which stay"
    if next(iter(schedule.ticks_between(change.at - _DAY, LATEST)), None) is None:
        return "no tick is due by then"
    first, last = sorted((change.before, change.after))
    touched = list(recurrence.appointments(first, last))
    if touched:
        return _moved(touched, change)
    if next(iter(recurrence.appointments(first - 8 * _YEAR, last)), None) is None:
        later = "later" if change.after > change.before else "earlier"
        return f"the ticks go by elapsed time, so from then on they come {_length(last - first)} {later} by the clock"
    return "no tick lies in between, and all keep their local times"


def _moved(touched: Sequence[Appointment], change: ZoneChange) -> str:
    """What becomes of local times that are skipped or repeated; they may differ when several crons are at work."""
    kinds = {
        0: [each for each in touched if not each.instants],
        1: [each for each in touched if len(each.instants) == 1],
        2: [each for each in touched if len(each.instants) > 1],
    }
    said = []
    if kinds[0]:
        said.append(f"{_times(kinds[0])} {_is(kinds[0])} left out, because the schedule goes by elapsed time")
    if kinds[1] and change.after > change.before:
        together = ", in one run" if len(kinds[1]) > 1 else ""
        said.append(f"{_times(kinds[1])} {_is(kinds[1])} due at {change.after:%H:%M}{together}")
    elif kinds[1]:
        said.append(f"{_times(kinds[1])} {_is(kinds[1])} due once, at the first occurrence")
    if kinds[2]:
        said.append(f"{_times(kinds[2])} {_is(kinds[2])} due twice, because the schedule goes by elapsed time")
    return "; ".join(said)


def _times(ticks: Sequence[Appointment]) -> str:
    shown = [f"{each.local:%H:%M}" if not each.local.second else f"{each.local:%H:%M:%S}" for each in ticks]
    if len(shown) == 1:
        return f"the tick of {shown[0]}"
    if len(shown) > _MOST_NAMED:
        return f"the {len(shown)} ticks from {shown[0]} to {shown[-1]}"
    return f"the ticks of {', '.join(shown[:-1])} and {shown[-1]}"


def _is(ticks: Sequence[Appointment]) -> str:
    return "is" if len(ticks) == 1 else "are"


def _length(length: timedelta) -> str:
    minutes, hours = int(length / timedelta(minutes=1)), length / timedelta(hours=1)
    if hours == int(hours):
        return f"{int(hours)} hour{'s' if hours > 1 else ''}"
    return f"{minutes} minutes"
