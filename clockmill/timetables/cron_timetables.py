"""The timetables of cron expressions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar, Self

from clockmill.errors import DagDefinitionError
from clockmill.timetables.base import Recurrence
from clockmill.timetables.combine import SkippedDays, Skipping, Union, skipped
from clockmill.timetables.cron import CronRecurrence
from clockmill.timetables.jitter import Jitter
from clockmill.timetables.recurring import IntervalTicks, TriggerTicks


@dataclass(frozen=True, kw_only=True)
class _Crons:
    """What every timetable of cron expressions takes.

    :param skip: days on which nothing is due: a date, a pair of dates (both included), a cron expression of which
        every day is meant, or a list of these. Days are those of ``timezone``.
    :param jitter: each run is moved by a delay in [0, ``jitter``), and never to the next tick or beyond.
    :param seed: what the delays depend on beside the tick; the DAG puts its id here.
    """

    skip: Any = ()
    jitter: timedelta = timedelta(0)
    seed: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "skip", skipped(self.skip).entries)
        _check_jitter(self.jitter, self.summary)
        _ = self.recurrence  # a bad expression is refused where it is written
        if self.skip and not SkippedDays(self.skip).leave_one_of(self._expressions):
            raise DagDefinitionError(f"The skip of the schedule {self.summary!r} leaves out every day that it names.")

    @property
    def _expressions(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def _zone(self) -> str:
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """The expressions as written."""
        return ", ".join(self._expressions)

    @cached_property
    def recurrence(self) -> Recurrence:
        """The instants that are not skipped."""
        parts = [CronRecurrence(cron, self._zone) for cron in self._expressions]
        whole: Recurrence = parts[0] if len(parts) == 1 else Union(parts)
        return Skipping(whole, SkippedDays(self.skip), self._zone) if self.skip else whole

    @cached_property
    def delays(self) -> Jitter | None:
        """By how much runs are moved, or None for not at all."""
        return Jitter(self.jitter, self.seed) if self.jitter else None

    def seeded(self, dag_id: str) -> Self:
        """The same with delays of that DAG."""
        return replace(self, seed=dag_id) if self.jitter and not self.seed else self

    def _extras(self) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if self.skip:
            extras["skip"] = SkippedDays(self.skip).to_json()
        if self.jitter:
            extras |= {"jitter": self.jitter.total_seconds(), "seed": self.seed}
        return extras


def _extras_of(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "skip": data.get("skip", ()),
        "jitter": timedelta(seconds=data.get("jitter", 0)),
        "seed": data.get("seed", ""),
    }


@dataclass(frozen=True)
class _OneCron(_Crons):
    cron: str
    timezone: str = "UTC"

    @property
    def _expressions(self) -> tuple[str, ...]:
        return (self.cron,)

    @property
    def _zone(self) -> str:
        return self.timezone


@dataclass(frozen=True)
class CronTriggerTimetable(_OneCron, TriggerTicks):
    """Runs at the ticks of a cron expression; the logical date is the tick.

    :param cron: five, six or seven fields, or a preset such as ``@daily``.
    :param timezone: the IANA name of the zone that the expression is meant in.
    :param interval: how long before the tick the data interval begins.
    :param skip: days that are left out.
    :param jitter: by how much runs are moved at most.
    """

    interval: timedelta = timedelta(0)
    kind: ClassVar[str] = "cron_trigger"

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_negative(self.interval, self.summary)

    def _length(self) -> timedelta:
        return self.interval

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        seconds = self.interval.total_seconds()
        data = {"type": self.kind, "cron": self.cron, "timezone": self.timezone, "interval": seconds}
        return {**data, **self._extras()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        return cls(data["cron"], data["timezone"], timedelta(seconds=data["interval"]), **_extras_of(data))


@dataclass(frozen=True, init=False)
class MultipleCronTriggerTimetable(_Crons, TriggerTicks):
    """Runs at the ticks of any of several cron expressions, once where they agree; the logical date is the tick.

    :param crons: the expressions.
    :param timezone: the IANA name of the zone that they are meant in.
    :param interval: how long before a tick the data interval begins.
    :param skip: days that are left out.
    :param jitter: by how much runs are moved at most.
    """

    crons: tuple[str, ...]
    timezone: str = field(kw_only=True, default="UTC")
    interval: timedelta = field(kw_only=True, default=timedelta(0))
    kind: ClassVar[str] = "multiple_cron_trigger"

    def __init__(
        self,
        *crons: str,
        timezone: str = "UTC",
        interval: timedelta = timedelta(0),
        skip: Any = (),
        jitter: timedelta = timedelta(0),
        seed: str = "",
    ) -> None:
        if not crons:
            raise DagDefinitionError("MultipleCronTriggerTimetable needs a cron expression or more.")
        values = {"crons": crons, "timezone": timezone, "interval": interval, "skip": skip, "jitter": jitter}
        for name, value in (values | {"seed": seed}).items():
            object.__setattr__(self, name, value)
        self.__post_init__()
        _refuse_negative(self.interval, self.summary)

    @property
    def _expressions(self) -> tuple[str, ...]:
        return self.crons

    @property
    def _zone(self) -> str:
        return self.timezone

    def _length(self) -> timedelta:
        return self.interval

    def seeded(self, dag_id: str) -> Self:
        """The same with delays of that DAG."""
        return type(self).from_dict({**self.to_dict(), "seed": self.seed or dag_id})

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        seconds = self.interval.total_seconds()
        data = {"type": self.kind, "crons": list(self.crons), "timezone": self.timezone, "interval": seconds}
        return {**data, **self._extras()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        interval = timedelta(seconds=data["interval"])
        return cls(*data["crons"], timezone=data["timezone"], interval=interval, **_extras_of(data))


@dataclass(frozen=True)
class CronDataIntervalTimetable(_OneCron, IntervalTicks):
    """Runs at the ticks of a cron expression, about the time since the tick before, which is the logical date.

    A day that is left out belongs to the interval that goes on over it, so no data is.
    """

    kind: ClassVar[str] = "cron_data_interval"

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        return {"type": self.kind, "cron": self.cron, "timezone": self.timezone, **self._extras()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        return cls(data["cron"], data["timezone"], **_extras_of(data))


#: A hundred years; longer ones leave the calendar.
_LONGEST = timedelta(days=36_525)


def _check_jitter(jitter: object, summary: str) -> None:
    if isinstance(jitter, timedelta) and jitter > _LONGEST:
        raise DagDefinitionError(f"The jitter {jitter} of the schedule {summary!r} is over {_LONGEST.days} days.")
    if not isinstance(jitter, timedelta) or jitter < timedelta(0):
        raise DagDefinitionError(f"The jitter {jitter!r} of the schedule {summary!r} is no timedelta, or negative.")


def _refuse_negative(interval: timedelta, summary: str) -> None:
    if interval < timedelta(0):
        raise DagDefinitionError(f"The interval {interval} of the schedule {summary!r} is negative.")
    if interval > _LONGEST:
        raise DagDefinitionError(f"The interval {interval} of the schedule {summary!r} is over {_LONGEST.days} days.")
