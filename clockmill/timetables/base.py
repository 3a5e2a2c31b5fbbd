"""The words of this package: a tick, and what every timetable answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, runtime_checkable

from clockmill.clock import iso, parse_iso


@dataclass(frozen=True, slots=True)
class Tick:
    """One moment at which a run is due, and the data that it is about; all of it aware and in UTC.

    :param run_after: when the run is due.
    :param logical_date: the date that names the run.
    :param start: where the data interval begins.
    :param end: where the data interval ends.
    """

    run_after: datetime
    logical_date: datetime
    start: datetime
    end: datetime

    def to_dict(self) -> dict[str, str]:
        """This tick as ISO 8601 texts by the names of its fields."""
        return {name: iso(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: Mapping[str, str]) -> Tick:
        """The tick that :meth:`to_dict` wrote."""
        return cls(**{name: parse_iso(text) for name, text in data.items()})


@runtime_checkable
class Timetable(Protocol):
    """When a DAG is due. Pure: the same question has the same answer, whatever the time is."""

    #: the name under which :func:`~clockmill.timetables.from_dict` finds the class again
    kind: ClassVar[str]

    @property
    def summary(self) -> str:
        """The schedule as a person wrote it."""
        ...

    def next_after(self, moment: datetime) -> Tick | None:
        """The first tick with ``run_after`` strictly after ``moment``, or None when there is no more."""
        ...

    def newest_until(self, moment: datetime) -> Tick | None:
        """The newest tick with ``run_after`` at or before ``moment``, or None when there was none yet."""
        ...

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """The ticks with ``run_after`` after ``after`` and at or before ``until``, oldest first."""
        ...

    def manual(self, run_after: datetime) -> Tick:
        """The tick of a run that a person asks for at ``run_after``."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """This timetable as values that JSON knows; :func:`~clockmill.timetables.from_dict` reads them."""
        ...


class Recurrence(Protocol):
    """A row of instants, strictly increasing, without beginning or end unless it says so."""

    def after(self, moment: datetime) -> datetime | None:
        """The first instant strictly after ``moment``."""
        ...

    def until(self, moment: datetime) -> datetime | None:
        """The newest instant at or before ``moment``."""
        ...

    def appointments(self, first: datetime, last: datetime) -> Iterator[Appointment]:
        """What is written for the naive local times in [``first``, ``last``), oldest first; nothing for one that goes
        by elapsed time and knows no local times."""
        ...


@dataclass(frozen=True, slots=True)
class Appointment:
    """A local time that a recurrence names.

    :param local: naive.
    :param instants: when it counts, oldest first: none, one or two, see :mod:`clockmill.timetables.zones`.
    """

    local: datetime
    instants: tuple[datetime, ...]


def instant_tick(moment: datetime) -> Tick:
    """The tick of a run that is about one instant: every date of it is ``moment``."""
    moment = moment.astimezone(UTC)
    return Tick(moment, moment, moment, moment)
