"""The dates of a backfill: which they are, and what becomes of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from clockmill.actions.create import run_id_for
from clockmill.errors import DagDefinitionError, EmptyRange, UsageError
from clockmill.model.zones import YEARS, in_utc
from clockmill.serde import Document
from clockmill.serde.schedule import schedule_of
from clockmill.state import FINISHED_RUN_STATES, RunState, RunType
from clockmill.state.backfill import ReprocessBehavior
from clockmill.storage.backfills import TakenDate, taken_dates, taken_ids
from clockmill.storage.engine import Connection
from clockmill.timetables import Schedule, Tick

_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_CHUNK = 500

#: Timetables without ticks of their own that could be looked up.
_NO_TICKS = {
    "null": "it has no schedule",
    "continuous": "its schedule is @continuous, which has no dates of its own",
    "stored": "its schedule is a timetable of your own, whose past ticks only its own code knows",
}


class DateAction(StrEnum):
    """What a backfill does about one date."""

    NEW = "new"  #: a run is made
    RERUN = "re-run"  #: the run that is there runs again
    LEFT = "left"  #: nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDate:
    """One date and what becomes of it.

    :param dag_run_id: of the run that has the date already.
    :param reason: why it is left.
    """

    tick: Tick
    run_id: str
    action: DateAction
    dag_run_id: int | None = None
    reason: str = ""


def instants(first: date, last: date, zone: str) -> tuple[datetime, datetime]:
    """The first and the last instant that two dates mean, both included, in UTC.

    :param first: an instant, or a local time or day of ``zone``; a day begins at its first moment.
    :param last: likewise; a day ends at its last moment.
    :raises EmptyRange: when the last one is before the first.
    :raises UsageError: when one is too far away.
    """
    for moment in (first, last):
        if moment.year not in YEARS:
            raise UsageError(f"The date {moment} lies outside the years {YEARS.start} to {YEARS.stop - 1}.")
    begin = _instant(first, zone)
    end = _instant(last, zone)
    if not isinstance(last, datetime):
        end = _instant(last + _DAY, zone) - _MICROSECOND
    if end < begin:
        raise EmptyRange(first, last)
    return begin, end


def _instant(moment: date, zone: str) -> datetime:
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return in_utc(moment, zone)


def backfill_schedule(document: Document) -> Schedule:
    """The schedule of a DAG, when a backfill can ask it for dates.

    :raises UsageError: when it cannot.
    """
    kind = str(document.timetable.get("type"))
    why = _NO_TICKS.get(kind)
    if why is None:
        try:
            return schedule_of(document)
        except DagDefinitionError as error:
            why = str(error)
    raise UsageError(f"The DAG {document.dag_id!r} cannot be backfilled: {why}.")


def ticks_of(schedule: Schedule, first: datetime, last: datetime, *, after: datetime | None = None) -> Iterator[Tick]:
    """The ticks whose logical date lies between ``first`` and ``last``, both included, ascending.

    :param after: the logical date after which to go on.
    """
    # A run is never due before its logical date, so no tick that is due before a date can have that date.
    moment = (first if after is None else max(first, after)) - _MICROSECOND
    tick = schedule.next_after(moment)
    while tick is not None and tick.logical_date <= last:
        if tick.logical_date >= first and (after is None or tick.logical_date > after):
            yield tick
        tick = schedule.next_after(tick.run_after)


def plan_dates(
    connection: Connection, dag_id: str, ticks: Sequence[Tick], behavior: ReprocessBehavior, now: datetime
) -> list[PlannedDate]:
    """What becomes of each of these dates, ascending.

    :param now: ticks that are due later are left, to be run when they are due.
    """
    if not ticks:
        return []
    names = {tick: run_id_for(RunType.BACKFILL, tick.logical_date) for tick in ticks}
    dates = taken_dates(connection, dag_id, ticks[0].logical_date, ticks[-1].logical_date)
    ids = _ids(connection, dag_id, list(names.values()))
    return [
        _plan(tick, name, dates.get(tick.logical_date), ids.get(name), behavior, now) for tick, name in names.items()
    ]


def _ids(connection: Connection, dag_id: str, names: list[str]) -> dict[str, TakenDate]:
    found: dict[str, TakenDate] = {}
    for start in range(0, len(names), _CHUNK):
        found |= taken_ids(connection, dag_id, names[start : start + _CHUNK])
    return found


def _plan(
    tick: Tick,
    name: str,
    same_date: TakenDate | None,
    same_id: TakenDate | None,
    behavior: ReprocessBehavior,
    now: datetime,
) -> PlannedDate:
    if same_date is None and same_id is not None:
        return _left(tick, name, "a run of another date has its run id")
    if same_date is not None:
        return _plan_taken(tick, same_date, behavior)
    if tick.run_after > now:
        return _left(tick, name, "not due yet")
    return PlannedDate(tick=tick, run_id=name, action=DateAction.NEW)


def _plan_taken(tick: Tick, run: TakenDate, behavior: ReprocessBehavior) -> PlannedDate:
    if run.state not in FINISHED_RUN_STATES:
        return _left(tick, run.run_id, f"its run is {run.state}", run.id)
    again = {
        ReprocessBehavior.NONE: frozenset[RunState](),
        ReprocessBehavior.FAILED: frozenset({RunState.FAILED}),
        ReprocessBehavior.COMPLETED: FINISHED_RUN_STATES,
    }[behavior]
    if run.state not in again:
        return _left(tick, run.run_id, f"its run ended: {run.state}", run.id)
    return PlannedDate(tick=tick, run_id=run.run_id, action=DateAction.RERUN, dag_run_id=run.id)


def _left(tick: Tick, run_id: str, reason: str, dag_run_id: int | None = None) -> PlannedDate:
    return PlannedDate(tick=tick, run_id=run_id, action=DateAction.LEFT, reason=reason, dag_run_id=dag_run_id)


def count_actions(dates: Iterable[PlannedDate]) -> dict[DateAction, int]:
    """How many dates there are of each kind, those without any included."""
    counts = Counter(each.action for each in dates)
    return {action: counts[action] for action in DateAction}
