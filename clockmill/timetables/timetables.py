"""The timetables that a DAG can have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, Self

from dateutil.relativedelta import relativedelta

from clockmill.clock import iso_or_none, parse_iso_or_none
from clockmill.errors import DagDefinitionError
from clockmill.timetables.base import Recurrence, Tick, instant_tick
from clockmill.timetables.cron import CronRecurrence
from clockmill.timetables.delta import EPOCH, DeltaRecurrence, delta_from_parts, delta_parts
from clockmill.timetables.zones import clamped

_MICROSECOND = timedelta(microseconds=1)


class _Recurring(ABC):
    """What timetables over a recurrence have in common; they differ in the tick that an instant makes."""

    @property
    @abstractmethod
    def recurrence(self) -> Recurrence: ...

    @abstractmethod
    def _tick(self, instant: datetime) -> Tick | None: ...

    def next_after(self, moment: datetime) -> Tick | None:
        """The first tick with ``run_after`` strictly after ``moment``."""
        instant = self.recurrence.after(moment)
        while instant is not None and (tick := self._tick(instant)) is None:
            instant = self.recurrence.after(instant)
        return None if instant is None else tick

    def newest_until(self, moment: datetime) -> Tick | None:
        """The newest tick with ``run_after`` at or before ``moment``."""
        instant = self.recurrence.until(moment)
        return None if instant is None else self._tick(instant)

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """The ticks with ``run_after`` in (``after``, ``until``], oldest first."""
        tick = self.next_after(after)
        while tick is not None and tick.run_after <= until:
            yield tick
            tick = self.next_after(tick.run_after)


class _Trigger(_Recurring):
    """The logical date is the tick itself, and the data interval ends there."""

    def _length(self) -> timedelta:
        return timedelta(0)

    def _tick(self, instant: datetime) -> Tick:
        return Tick(instant, instant, instant - self._length(), instant)

    def manual(self, run_after: datetime) -> Tick:
        """A run at ``run_after`` about the interval that ends there."""
        return self._tick(run_after.astimezone(UTC))


class _Interval(_Recurring):
    """A run is due when an interval is over, is about that interval, and is named by its beginning."""

    def _tick(self, instant: datetime) -> Tick | None:
        start = self.recurrence.until(instant - _MICROSECOND)
        return None if start is None else Tick(instant, start, start, instant)

    def manual(self, run_after: datetime) -> Tick:
        """A run at ``run_after`` about the newest interval that is over by then."""
        newest = self.newest_until(run_after)
        return (
            instant_tick(run_after) if newest is None else replace(newest, run_after=run_after, logical_date=run_after)
        )


@dataclass(frozen=True)
class _Cron:
    cron: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        _ = self.recurrence  # a bad expression is refused where it is written

    @cached_property
    def recurrence(self) -> Recurrence:
        return CronRecurrence(self.cron, self.timezone)

    @property
    def summary(self) -> str:
        """The cron expression as written."""
        return self.cron


@dataclass(frozen=True)
class CronTriggerTimetable(_Cron, _Trigger):
    """Runs at the ticks of a cron expression; the logical date is the tick.

    :param cron: five, six or seven fields, or a preset such as ``@daily``.
    :param timezone: the IANA name of the zone that the expression is meant in.
    :param interval: how long before the tick the data interval begins.
    """

    interval: timedelta = timedelta(0)
    kind: ClassVar[str] = "cron_trigger"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interval < timedelta(0):
            raise DagDefinitionError(f"The interval {self.interval} of the schedule {self.cron!r} is negative.")

    def _length(self) -> timedelta:
        return self.interval

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        seconds = self.interval.total_seconds()
        return {"type": self.kind, "cron": self.cron, "timezone": self.timezone, "interval": seconds}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        return cls(data["cron"], data["timezone"], timedelta(seconds=data["interval"]))


@dataclass(frozen=True)
class CronDataIntervalTimetable(_Cron, _Interval):
    """Runs at the ticks of a cron expression, about the time since the tick before, which is the logical date."""

    kind: ClassVar[str] = "cron_data_interval"

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        return {"type": self.kind, "cron": self.cron, "timezone": self.timezone}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        return cls(data["cron"], data["timezone"])


@dataclass(frozen=True)
class _Delta:
    delta: timedelta | relativedelta
    anchor: datetime | None = None
    timezone: str = "UTC"
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        if self.anchor is not None and self.anchor.tzinfo is None:
            raise DagDefinitionError(f"The anchor {self.anchor} of the schedule {self.delta} has no time zone.")
        _ = self.recurrence  # a length that cannot be repeated is refused where it is written

    @cached_property
    def recurrence(self) -> Recurrence:
        return DeltaRecurrence(self.delta, self.anchor or EPOCH, self.timezone)

    @property
    def summary(self) -> str:
        """The length between two ticks."""
        if isinstance(self.delta, timedelta):
            return str(self.delta)
        return ", ".join(f"{value:g} {name}" for name, value in delta_parts(self.delta).items())

    def anchored(self, start_date: datetime | None, timezone: str) -> Self:
        """The same counted from ``start_date``, unless it has an anchor of its own."""
        return self if self.anchor is not None else replace(self, anchor=start_date, timezone=timezone)

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        return {
            "type": self.kind,
            "delta": delta_parts(self.delta),
            "calendar": isinstance(self.delta, relativedelta),
            "anchor": iso_or_none(self.anchor),
            "timezone": self.timezone,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        delta = delta_from_parts(data["delta"], calendar=data["calendar"])
        anchor = parse_iso_or_none(data["anchor"])
        return cls(delta, anchor, data["timezone"])


@dataclass(frozen=True)
class DeltaTriggerTimetable(_Delta, _Trigger):
    """Runs every ``delta`` from the start date on, the first time at the start date; the logical date is the tick.

    :param anchor: what the ticks are counted from: the DAG's start date, or 1970 when it has none.
    """

    kind: ClassVar[str] = "delta_trigger"


@dataclass(frozen=True)
class DeltaDataIntervalTimetable(_Delta, _Interval):
    """Runs at the end of each ``delta`` counted from the start date; the logical date is its beginning."""

    kind: ClassVar[str] = "delta_data_interval"


@dataclass(frozen=True)
class OnceTimetable:
    """Runs once: at ``at``, or when the DAG is seen for the first time if that is None."""

    at: datetime | None = None
    kind: ClassVar[str] = "once"
    summary: ClassVar[str] = "@once"

    def next_after(self, moment: datetime) -> Tick | None:
        """The one tick while it lies ahead."""
        return instant_tick(self.at) if self.at is not None and self.at > moment else None

    def newest_until(self, moment: datetime) -> Tick | None:
        """The one tick when it has come."""
        return instant_tick(self.at) if self.at is not None and self.at <= moment else None

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """The one tick when it lies there."""
        if self.at is not None and after < self.at <= until:
            yield instant_tick(self.at)

    def manual(self, run_after: datetime) -> Tick:
        """A run about ``run_after``."""
        return instant_tick(run_after)

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        return {"type": self.kind, "at": iso_or_none(self.at)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        return cls(parse_iso_or_none(data["at"]))


@dataclass(frozen=True)
class _Plain:
    kind: ClassVar[str]

    def manual(self, run_after: datetime) -> Tick:
        """A run about ``run_after``."""
        return instant_tick(run_after)

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        return {"type": self.kind}

    @classmethod
    def from_dict(cls, _data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        return cls()


@dataclass(frozen=True)
class ContinuousTimetable(_Plain):
    """Always due: the next run begins when the one before is over, for the DAG may have one active run only.

    Every moment is a tick, so the ticks of a stretch of time are only its last one: there is nothing to catch up.
    """

    kind: ClassVar[str] = "continuous"
    summary: ClassVar[str] = "@continuous"

    def next_after(self, moment: datetime) -> Tick | None:
        """A tick right after ``moment``."""
        return instant_tick(clamped(moment) + _MICROSECOND)

    def newest_until(self, moment: datetime) -> Tick | None:
        """A tick at ``moment``."""
        return instant_tick(moment)

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """One tick, at ``until``."""
        if after < until:
            yield instant_tick(until)


@dataclass(frozen=True)
class NullTimetable(_Plain):
    """Never due: such a DAG runs when somebody asks."""

    kind: ClassVar[str] = "null"
    summary: ClassVar[str] = "None"

    def next_after(self, moment: datetime) -> Tick | None:
        """None."""
        return None

    def newest_until(self, moment: datetime) -> Tick | None:
        """None."""
        return None

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """Nothing."""
        return iter(())
