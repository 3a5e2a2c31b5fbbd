"""What timetables over a recurrence have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from clockmill.timetables.base import Recurrence, Tick, instant_tick
from clockmill.timetables.jitter import Jitter

_MICROSECOND = timedelta(microseconds=1)


class Recurring(ABC):
    """Ticks at the instants of a recurrence; the classes below differ in the tick that an instant makes."""

    @property
    @abstractmethod
    def recurrence(self) -> Recurrence:
        """The instants."""

    @property
    def delays(self) -> Jitter | None:
        """By how much runs are moved, or None for not at all."""
        return None

    @abstractmethod
    def _tick(self, instant: datetime) -> Tick | None: ...

    def next_after(self, moment: datetime) -> Tick | None:
        """The first tick with ``run_after`` strictly after ``moment``."""
        if (
            self.delays is not None
            and (moved := self._at(self.recurrence.until(moment))) is not None
            and moved.run_after > moment
        ):
            return moved
        instant = self.recurrence.after(moment)
        while instant is not None and (tick := self._at(instant)) is None:
            instant = self.recurrence.after(instant)
        return None if instant is None else tick

    def newest_until(self, moment: datetime) -> Tick | None:
        """The newest tick with ``run_after`` at or before ``moment``."""
        instant = self.recurrence.until(moment)
        tick = self._at(instant)
        if tick is None or instant is None or tick.run_after <= moment:
            return tick
        return self._at(self.recurrence.until(instant - _MICROSECOND))

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """The ticks with ``run_after`` in (``after``, ``until``], oldest first."""
        if self.delays is not None:
            yield from self._moved_between(after, until)
            return
        tick = self.next_after(after)
        while tick is not None and tick.run_after <= until:
            yield tick
            tick = self.next_after(tick.run_after)

    def _moved_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """The same with delays: each instant is asked for once, also as the one that the tick before stays before."""
        instant = self.recurrence.until(after) or self.recurrence.after(after)
        while instant is not None and instant <= until:
            following = self.recurrence.after(instant)
            tick = self._moved(instant, following)
            if tick is not None and after < tick.run_after <= until:
                yield tick
            instant = following

    def _at(self, instant: datetime | None) -> Tick | None:
        """The tick of an instant, moved by its delay."""
        if instant is None:
            return None
        return self._tick(instant) if self.delays is None else self._moved(instant, self.recurrence.after(instant))

    def _moved(self, instant: datetime, following: datetime | None) -> Tick | None:
        """The tick of an instant, moved by its delay; it stays before the instant that follows."""
        tick = self._tick(instant)
        if tick is None or self.delays is None:
            return tick
        return replace(tick, run_after=tick.run_after + self.delays.delay(instant, following))


class TriggerTicks(Recurring):
    """The logical date is the instant itself, and the data interval ends there."""

    def _length(self) -> timedelta:
        return timedelta(0)

    def _tick(self, instant: datetime) -> Tick:
        return Tick(instant, instant, instant - self._length(), instant)

    def manual(self, run_after: datetime) -> Tick:
        """A run at ``run_after`` about the interval that ends there."""
        return self._tick(run_after.astimezone(UTC))


class IntervalTicks(Recurring):
    """A run is due when an interval is over, is about that interval, and is named by its beginning."""

    def _tick(self, instant: datetime) -> Tick | None:
        start = self.recurrence.until(instant - _MICROSECOND)
        return None if start is None else Tick(instant, start, start, instant)

    def manual(self, run_after: datetime) -> Tick:
        """A run at ``run_after`` about the newest interval that is over by then."""
        end = self.recurrence.until(run_after)
        newest = None if end is None else self._tick(end)
        return (
            instant_tick(run_after) if newest is None else replace(newest, run_after=run_after, logical_date=run_after)
        )
