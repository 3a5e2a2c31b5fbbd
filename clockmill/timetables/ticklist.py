"""The ticks of an author's timetable that are stored for those who may not ask it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from clockmill.clock import iso_or_none, parse_iso_or_none
from clockmill.timetables.base import Tick
from clockmill.timetables.custom import before
from clockmill.timetables.schedule import Schedule

#: Ticks that are stored: those to come, and those that are over, for whoever asks what was missed.
AHEAD, BEHIND = 200, 20
#: With so few ticks to come, the file is parsed again for more.
LOW = 50

_FURTHEST_BACK = timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True)
class TickList:
    """The ticks that are stored of an author's timetable.

    :param ticks: ascending, some of them over.
    :param is_complete: whether there is no tick after them.
    :param refill_at: once the DAG has gone beyond this tick, more are wanted; None when there are no more.
    """

    ticks: tuple[Tick, ...]
    is_complete: bool
    refill_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {
            "ticks": [tick.to_dict() for tick in self.ticks],
            "is_complete": self.is_complete,
            "refill_at": iso_or_none(self.refill_at),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TickList:
        """What :meth:`to_json` wrote."""
        return cls(
            ticks=tuple(Tick.from_dict(tick) for tick in data["ticks"]),
            is_complete=data["is_complete"],
            refill_at=parse_iso_or_none(data["refill_at"]),
        )


def tick_list(schedule: Schedule, position: datetime, is_late: Callable[[], bool]) -> TickList:
    """The ticks around ``position``, to be stored.

    :param schedule: of an :class:`~clockmill.timetables.custom.AuthoredTimetable`.
    :param position: as far as the DAG has come; the ticks after it are those to come.
    :param is_late: whether to be content with what there is, because it takes long.
    :raises DagDefinitionError: when the author's timetable does not answer properly.
    """
    ahead: list[Tick] = []
    tick = schedule.next_after(position)
    while tick is not None and len(ahead) < AHEAD:
        ahead.append(tick)
        if is_late():
            break
        tick = schedule.next_after(tick.run_after)
    is_complete = tick is None
    refill = None if is_complete else ahead[-1 - min(LOW, len(ahead) // 4)].run_after
    behind = _behind(schedule, position, is_late)
    return TickList(ticks=(*behind, *ahead), is_complete=is_complete, refill_at=refill)


def _behind(schedule: Schedule, position: datetime, is_late: Callable[[], bool]) -> list[Tick]:
    newest = schedule.newest_until(position)
    if newest is None:
        return []
    span = max(position - newest.run_after, timedelta(hours=1))
    found = [newest]
    while len(found) < BEHIND and span < _FURTHEST_BACK and not is_late():
        span *= 2
        found = list(schedule.ticks_between(before(position, span), position))[-BEHIND:]
    return found
