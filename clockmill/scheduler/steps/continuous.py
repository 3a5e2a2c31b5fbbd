"""Continuous DAGs: one run after the other, with a gap in between."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from clockmill.scheduler.plans import Plan
from clockmill.scheduler.ticks import TickPlan
from clockmill.storage.engine import Connection
from clockmill.storage.runs import has_active_run, newest_run_times
from clockmill.timetables import ContinuousTimetable, Tick

_MICROSECOND = timedelta(microseconds=1)


def continuous_tick(connection: Connection, plan: Plan, now: datetime) -> Tick | None:
    """The next tick of a continuous DAG without an active run: not before the gap after its newest run has passed."""
    timetable = plan.schedule.timetable
    assert isinstance(timetable, ContinuousTimetable)
    newest = newest_run_times(connection, plan.document.dag_id)
    earliest = now
    if newest is not None:
        run_after, ended = newest
        # A gap of nothing still gives each run a moment of its own, because the date is what names it.
        earliest = max(now, (ended or now) + timetable.min_gap, run_after + _MICROSECOND)
    return plan.schedule.next_after(earliest - _MICROSECOND)


def due_continuously(connection: Connection, plan: Plan, due: Tick, now: datetime) -> TickPlan:
    """One run, of this moment, when none is active and the gap has passed. Nothing is missed while it was not."""
    nothing: dict[str, Any] = {"dropped": 0, "first_dropped": None, "last_dropped": None}
    if has_active_run(connection, plan.document.dag_id):
        return TickPlan(make=(), next=None, **nothing)
    following = continuous_tick(connection, plan, now)
    if following is None or following.run_after > now:
        return TickPlan(make=(), next=following, **nothing)
    return TickPlan(make=(plan.schedule.newest_until(now) or due,), next=None, **nothing)
