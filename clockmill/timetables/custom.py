"""Timetables that authors write themselves. Their code runs in the parsing process alone: it stores the next ticks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self, TypeVar

from clockmill.errors import DagDefinitionError
from clockmill.timetables.base import Tick, instant_tick
from clockmill.timetables.zones import EARLIEST, LATEST, clamped

T = TypeVar("T")

_FURTHEST_BACK = timedelta(days=3660)


class CustomTimetable(ABC):
    """The base of a timetable of your own: give it :meth:`next_after`, and the rest when the default does not fit.

    It is asked while its file is parsed, never in the scheduler: the next 200 ticks are stored, and more are asked for
    before they are used up. So its answers must not depend on when it is asked, nor on what may change without the
    file. Instants are aware; those that it is given are in UTC.
    """

    @abstractmethod
    def next_after(self, moment: datetime) -> datetime | Tick | None:
        """When the first run strictly after ``moment`` is due, or None when there is no more.

        Give a :class:`~clockmill.timetables.Tick` for a run with a logical date or a data interval of its own.
        """

    @property
    def summary(self) -> str:
        """The schedule as people read it."""
        return type(self).__name__

    def manual(self, run_after: datetime) -> Tick:
        """The tick of a run of ``dag.test()``; other runs by hand are about the newest data interval that is over."""
        return instant_tick(run_after)


@dataclass(frozen=True)
class AuthoredTimetable:
    """An author's timetable in the process that imported it: every answer is checked.

    :param timetable: what the author wrote.
    """

    timetable: CustomTimetable
    kind: ClassVar[str] = "authored"

    @property
    def name(self) -> str:
        """The name of the author's class."""
        return type(self.timetable).__name__

    @property
    def summary(self) -> str:
        """The schedule as people read it."""
        return str(self._asked("summary", lambda: self.timetable.summary))

    def next_after(self, moment: datetime) -> Tick | None:
        """The first tick strictly after ``moment``.

        :raises DagDefinitionError: when the author's method raises, or gives something else.
        """
        moment = clamped(moment)
        what = f"next_after({moment.isoformat()})"
        tick = self._asked(what, lambda: self._as_tick(self.timetable.next_after(moment)))
        if tick is not None and tick.run_after <= moment:
            given = tick.run_after.isoformat()
            raise DagDefinitionError(
                f"The timetable {self.name} gave {given} as next after {moment.isoformat()}, which is not later."
            )
        return None if tick is None or tick.run_after > LATEST else tick

    def newest_until(self, moment: datetime) -> Tick | None:
        """The newest tick at or before ``moment`` within ten years, found by looking from ever further back."""
        span = timedelta(hours=1)
        while span < 2 * _FURTHEST_BACK:
            found = deque(self.ticks_between(before(moment, min(span, _FURTHEST_BACK)), moment), maxlen=1)
            if found:
                return found[0]
            span *= 2
        return None

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """The ticks with ``run_after`` in (``after``, ``until``], oldest first."""
        tick = self.next_after(after)
        while tick is not None and tick.run_after <= until:
            yield tick
            tick = self.next_after(tick.run_after)

    def manual(self, run_after: datetime) -> Tick:
        """The tick of a run by hand."""
        return self._asked("manual", lambda: self._as_tick(self.timetable.manual(run_after))) or instant_tick(run_after)

    def to_dict(self) -> dict[str, Any]:
        """What the document keeps: the ticks are stored beside it."""
        return {"type": StoredTimetable.kind, "name": self.name, "summary": self.summary}

    def _asked(self, what: str, question: Callable[[], T]) -> T:
        try:
            return question()
        except DagDefinitionError:
            raise
        except Exception as error:
            raise DagDefinitionError(
                f"The timetable {self.name}: {what} raised {type(error).__name__}: {error}"
            ) from error

    def _as_tick(self, answer: object) -> Tick | None:
        """What the author's method gave, as a tick of plain datetimes in UTC."""
        if answer is None:
            return None
        given = [answer] * len(Tick.__slots__)
        if isinstance(answer, Tick):
            given = [getattr(answer, name) for name in Tick.__slots__]
        moments = [_in_utc(each) for each in given if isinstance(each, datetime) and each.tzinfo is not None]
        if len(moments) != len(given):
            raise DagDefinitionError(
                f"The timetable {self.name} gave {answer!r}; give a datetime with a time zone, a Tick of such, or None."
            )
        return Tick(*moments)


def before(moment: datetime, span: timedelta) -> datetime:
    """The instant ``span`` before ``moment``, or the earliest there is."""
    return moment - span if moment - EARLIEST > span else EARLIEST


def _in_utc(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    return datetime.combine(moment.date(), moment.time(), UTC)  # of a class of the author's, the parts alone


@dataclass(frozen=True)
class StoredTimetable:
    """An author's timetable everywhere else: the ticks that it gave when its file was parsed.

    :param name: the name of the author's class.
    :param summary: the schedule as people read it.
    :param ticks: ascending.
    """

    name: str
    summary: str
    ticks: tuple[Tick, ...] = ()
    kind: ClassVar[str] = "stored"

    def with_ticks(self, ticks: Sequence[Tick]) -> Self:
        """The same with the ticks that are stored of it."""
        return replace(self, ticks=tuple(ticks))

    def next_after(self, moment: datetime) -> Tick | None:
        """The first stored tick strictly after ``moment``."""
        index = self._index(moment)
        return self.ticks[index] if index < len(self.ticks) else None

    def newest_until(self, moment: datetime) -> Tick | None:
        """The newest stored tick at or before ``moment``."""
        index = self._index(moment)
        return self.ticks[index - 1] if index else None

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """The stored ticks with ``run_after`` in (``after``, ``until``]."""
        return iter(self.ticks[self._index(after) : self._index(until)])

    def manual(self, run_after: datetime) -> Tick:
        """A run about the newest data interval that is over, or about ``run_after`` when the ticks are instants."""
        tick, newest = instant_tick(run_after), self.newest_until(run_after)
        if newest is None or newest.start == newest.end:
            return tick
        return replace(tick, start=newest.start, end=newest.end)

    def _index(self, moment: datetime) -> int:
        return bisect_right(self.ticks, moment, key=lambda tick: tick.run_after)

    def to_dict(self) -> dict[str, Any]:
        """What the document keeps."""
        return {"type": self.kind, "name": self.name, "summary": self.summary}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """What :meth:`to_dict` wrote: without the ticks."""
        return cls(data["name"], data["summary"])
