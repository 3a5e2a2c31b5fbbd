"""The tick that a DAG goes on with after its file was parsed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from clockmill.actions.schedules import allows
from clockmill.serde import Document
from clockmill.serde.schedule import schedule_of
from clockmill.state import RunType
from clockmill.storage import dags, schedules
from clockmill.storage.engine import Connection
from clockmill.storage.schedules import next_tick_columns
from clockmill.timetables import Schedule, Tick, TickList, first_tick, tick_after_change

_MICROSECOND = timedelta(microseconds=1)


def tick_of_new(document: Document, stored: TickList | None, now: datetime) -> dict[str, Any]:
    """The columns of the next tick of a DAG that is seen for the first time."""
    if not _is_scheduled(document):
        return next_tick_columns(None)
    return next_tick_columns(first_tick(schedule_of(document, stored), catchup=document.catchup, seen_at=now))


def tick_of_known(
    connection: Connection, document: Document, before: Document | None, stored: TickList | None, now: datetime
) -> dict[str, Any]:
    """The columns of the next tick of a known DAG; none at all when it stays as it is.

    :param before: its version until now, or None when that is the same.
    """
    if before is not None and _timing(before) != _timing(document):
        return next_tick_columns(_after_change(connection, document, schedule_of(document, stored), now))
    if stored is None or not _is_scheduled(document):
        return {}
    return _renewed(connection, document, schedule_of(document, stored), now)


def _is_scheduled(document: Document) -> bool:
    return allows(document, RunType.SCHEDULED)


def _timing(document: Document) -> tuple[object, ...]:
    """What the next tick depends on."""
    times = document.start_date, document.end_date, document.catchup
    return dict(document.timetable), *times, _is_scheduled(document)


def _after_change(connection: Connection, document: Document, schedule: Schedule, now: datetime) -> Tick | None:
    if not _is_scheduled(document):
        return None
    newest = dags.newest_scheduled(connection, document.dag_id)
    return tick_after_change(schedule, catchup=document.catchup, changed_at=now, newest_run=newest)


def _renewed(connection: Connection, document: Document, schedule: Schedule, now: datetime) -> dict[str, Any]:
    """The same timetable of the author's own gave ticks again: go on where the old ones ended, or where they differ."""
    tick = schedules.next_tick_of(connection, document.dag_id)
    if tick is None:
        following = _after_used_up(connection, document, schedule, now)
        return {} if following is None else next_tick_columns(following)
    if tick.run_after > now and schedule.next_after(tick.run_after - _MICROSECOND) != tick:
        return next_tick_columns(_after_change(connection, document, schedule, now))
    return {}


def _after_used_up(connection: Connection, document: Document, schedule: Schedule, now: datetime) -> Tick | None:
    """The tick after the old ones, all of which were dealt with; without catch-up, the newest that was missed."""
    old = schedules.stored_ticks(connection, document.dag_id)
    if old is None or not old.ticks:
        return _after_change(connection, document, schedule, now)
    last = old.ticks[-1].run_after
    if document.catchup:
        return schedule.next_after(last)
    newest = schedule.newest_until(now)
    if newest is not None and newest.run_after > last:
        return newest
    return schedule.next_after(now)
