"""Runs at dates that follow no rule."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any, ClassVar, Self

from clockmill.clock import iso, parse_iso
from clockmill.errors import DagDefinitionError
from clockmill.timetables.base import Tick, instant_tick
from clockmill.timetables.zones import zone_named


@dataclass(frozen=True, init=False)
class EventsTimetable:
    """Runs at each of a list of dates; the logical date is the event.

    :param event_dates: the events; naive ones are in the zone of the DAG.
    :param restrict_to_events: whether a run by hand is about the newest event, the first one before any, instead of
        the moment at which it is asked for. Its logical date is that moment all the same.
    :param presorted: the events are in order already; a long list is then checked and not sorted.
    :param description: shown as the schedule, in place of the number of events.
    """

    events: tuple[datetime, ...]
    restrict_to_events: bool
    description: str | None
    timezone: str | None = field(compare=False)
    kind: ClassVar[str] = "events"

    def __init__(
        self,
        event_dates: Iterable[datetime],
        restrict_to_events: bool = False,
        presorted: bool = False,
        description: str | None = None,
        *,
        timezone: str | None = None,
    ) -> None:
        given = [_moment(each) for each in event_dates]
        if not given:
            raise DagDefinitionError("EventsTimetable needs an event or more.")
        zone = zone_named(timezone or "UTC")
        events = [(each.replace(tzinfo=zone) if each.tzinfo is None else each).astimezone(UTC) for each in given]
        if not presorted:
            events = sorted(set(events))
        elif any(earlier >= later for earlier, later in pairwise(events)):
            raise DagDefinitionError("The events of an EventsTimetable with presorted=True are not in order.")
        values = {"events": tuple(events), "restrict_to_events": restrict_to_events, "description": description}
        for name, value in (values | {"timezone": timezone, "_given": given}).items():
            object.__setattr__(self, name, value)

    def in_zone(self, timezone: str) -> Self:
        """The same with naive events meant in that zone, unless they have one already."""
        if self.timezone is not None:
            return self
        given: list[datetime] = self.__dict__["_given"]
        return type(self)(given, self.restrict_to_events, description=self.description, timezone=timezone)

    @property
    def summary(self) -> str:
        """The description, or the number of events."""
        number = len(self.events)
        return self.description or f"{number} event{'s' if number > 1 else ''}"

    def next_after(self, moment: datetime) -> Tick | None:
        """The first event after ``moment``."""
        index = bisect_right(self.events, moment)
        return instant_tick(self.events[index]) if index < len(self.events) else None

    def newest_until(self, moment: datetime) -> Tick | None:
        """The newest event at or before ``moment``."""
        index = bisect_right(self.events, moment)
        return instant_tick(self.events[index - 1]) if index else None

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[Tick]:
        """The events in (``after``, ``until``]."""
        chosen = self.events[bisect_right(self.events, after) : bisect_right(self.events, until)]
        return (instant_tick(event) for event in chosen)

    def manual(self, run_after: datetime) -> Tick:
        """A run about ``run_after``, or about the newest event when runs are restricted to them."""
        tick = instant_tick(run_after)
        if not self.restrict_to_events:
            return tick
        event = self.newest_until(run_after) or instant_tick(self.events[0])
        return replace(tick, start=event.start, end=event.end)

    def to_dict(self) -> dict[str, Any]:
        """This timetable as JSON."""
        return {
            "type": self.kind,
            "events": [iso(event) for event in self.events],
            "restrict_to_events": self.restrict_to_events,
            "description": self.description,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The timetable that :meth:`to_dict` wrote."""
        events = [parse_iso(event) for event in data["events"]]
        return cls(events, data["restrict_to_events"], presorted=True, description=data["description"], timezone="UTC")


def _moment(given: Any) -> datetime:
    if isinstance(given, datetime):
        return given
    if isinstance(given, date):
        return datetime(given.year, given.month, given.day)  # noqa: DTZ001 - naive means the zone of the DAG
    raise DagDefinitionError(f"The event {given!r} of an EventsTimetable is no datetime.")
