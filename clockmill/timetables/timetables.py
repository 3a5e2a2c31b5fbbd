"""The timetables of lengths, of one time, of every moment and of none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, Self

from dateutil.relativedelta import relativedelta

from clockmill.clock import iso_or_none, parse_iso_or_none
from clockmill.errors import DagDefinitionError
from clockmill.timetables.base import Recurrence, Tick, instant_tick
from clockmill.timetables.delta import EPOCH, DeltaRecurrence, delta_from_parts, delta_parts
from clockmill.timetables.recurring import IntervalTicks, TriggerTicks
from clockmill.timetables.zones import clamped

_MICROSECOND = timedelta(microseconds=1)


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
class DeltaTriggerTimetable(_Delta, TriggerTicks):
    """Runs every ``delta`` from the start date on, the first time at the start date; the logical date is the tick.

    :param anchor: what the ticks are counted from: the DAG's start date, or 1970 when it has none.
    """

    kind: ClassVar[str] = "delta_trigger"


@dataclass(frozen=True)
class DeltaDataIntervalTimetable(_Delta, IntervalTicks):
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
    """Always due: the next run begins soon after the one before is over, for the DAG may have one active run only.

    Every moment is a tick, so the ticks of a stretch of time are only its last one: there is nothing to catch up.

    :param min_gap: how long after the end of a run the next one begins at the earliest. A DAG with nothing to do would
        make hundreds of runs a minute without one.
    :raises DagDefinitionError: when it is not a ``timedelta``, or negative.
    """

    min_gap: timedelta = timedelta(seconds=1)
    kind: ClassVar[str] = "continuous"
    summary: ClassVar[str] = "@continuous"

    def __post_init__(self) -> None:
        given: object = self.min_gap
        if not isinstance(given, timedelta) or given < timedelta(0):
            raise DagDefinitionError(
                f"ContinuousTimetable(min_gap={self.min_gap!r}): give a timedelta that is not negative, "
                "such as timedelta(seconds=30)."
            )

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        return {"type": self.kind, "min_gap": self.min_gap.total_seconds()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        return cls(timedelta(seconds=data["min_gap"])) if "min_gap" in data else cls()

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
