"""A timetable between a DAG's start and end date, and which tick comes first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from clockmill.timetables.base import Tick, Timetable, instant_tick
from clockmill.timetables.timetables import OnceTimetable
from clockmill.timetables.zones import clamped

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The ticks of ``timetable`` whose logical date lies between ``start`` and ``end``, both included.

    :param start: aware, or None for no bound.
    :param end: aware, or None for no bound.
    """

    timetable: Timetable
    start: datetime | None = None
    end: datetime | None = None

    def next_after(self, moment: datetime) -> Tick | None:
        """The first tick with ``run_after`` strictly after ``moment``, or None when there is no more."""
        if self.start is not None:
            moment = max(moment, clamped(self.start) - _MICROSECOND)
        tick = self.timetable.next_after(moment)
        while tick is not None and self._is_early(tick):
            tick = self.timetable.next_after(tick.run_after)
        return None if tick is None or self._is_late(tick) else tick

    def newest_until(self, moment: datetime) -> Tick | None:
        """The newest tick with ``run_after`` at or before ``moment``, or None when there was none yet."""
        tick = self.timetable.newest_until(moment)
        if tick is not None and self._is_late(tick):
            tick = self._last()
        return None if tick is None or self._is_early(tick) else tick

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """The ticks with ``run_after`` after ``after`` and at or before ``until``, oldest first."""
        for tick in self.timetable.ticks_between(after if self.start is None else self._from_start(after), until):
            if self._is_late(tick):
                return
            if not self._is_early(tick):
                yield tick

    def _last(self) -> Tick | None:
        """The last tick in bounds; one that is about the time before the end may be due after it."""
        assert self.end is not None
        last, tick = self.timetable.newest_until(self.end), self.timetable.next_after(self.end)
        while tick is not None and not self._is_late(tick):
            last, tick = tick, self.timetable.next_after(tick.run_after)
        return last

    def _from_start(self, after: datetime) -> datetime:
        assert self.start is not None
        return max(after, clamped(self.start) - _MICROSECOND)

    def _is_early(self, tick: Tick) -> bool:
        return self.start is not None and tick.logical_date < self.start

    def _is_late(self, tick: Tick) -> bool:
        return self.end is not None and tick.logical_date > self.end


def first_tick(schedule: Schedule, *, catchup: bool, seen_at: datetime) -> Tick | None:
    """The first tick of a DAG that is seen for the first time at ``seen_at``.

    With ``catchup`` it is the first one since the start date. Otherwise the newest one missed since the start date
    when there is one, else the first one to come. A DAG without a start date has missed nothing.
    """
    if isinstance(schedule.timetable, OnceTimetable) and schedule.timetable.at is None:
        return instant_tick(seen_at)
    if schedule.start is None:
        return schedule.next_after(seen_at)
    if catchup:
        return schedule.next_after(clamped(schedule.start) - _MICROSECOND)
    return schedule.newest_until(seen_at) or schedule.next_after(seen_at)


def tick_after_change(
    schedule: Schedule, *, catchup: bool, changed_at: datetime, newest_run: datetime | None
) -> Tick | None:
    """The next tick of a known DAG whose schedule changed at ``changed_at``: old ticks are never run again.

    :param newest_run: the newest logical date that the DAG has a scheduled run for, or None when it never ran.
    """
    if newest_run is None:
        return first_tick(schedule, catchup=catchup, seen_at=changed_at)
    if not catchup:
        return schedule.next_after(changed_at)
    tick = schedule.next_after(newest_run)
    while tick is not None and tick.logical_date <= newest_run:
        tick = schedule.next_after(tick.run_after)
    return tick
