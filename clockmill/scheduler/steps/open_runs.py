"""Make the runs that are due."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

from clockmill.actions.create import RunOrder, place, run_id_for
from clockmill.actions.schedules import allows, schedule_for
from clockmill.clock import iso, iso_or_none
from clockmill.events import EventKind
from clockmill.scheduler.plans import Plan
from clockmill.scheduler.steps.overlap import cancel_older, is_left_out
from clockmill.scheduler.ticks import TickPlan, plan_ticks
from clockmill.scheduler.workspace import ACTOR, Effects, Workspace
from clockmill.state import RunType
from clockmill.storage.engine import Connection, DatabaseUnavailable
from clockmill.storage.events import append
from clockmill.storage.runs import has_active_run, taken_run
from clockmill.storage.schedules import DueDag, due_dags, hold_due_dag, idle_dags, set_next_tick
from clockmill.timetables import Tick

log = logging.getLogger(__name__)


class OpenRuns:
    """Each due tick becomes exactly one run, or an event that says why not."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._poisoned: dict[str, int] = {}

    def run_once(self) -> int:
        """Deal with every DAG that is due now, one transaction each; returns how many runs were made."""
        now = self._space.clock.now()
        self._renew_continuous(now)
        due = self._space.database.read(lambda connection: due_dags(connection, now))
        return sum(self._open_one(dag, now) for dag in due if self._poisoned.get(dag.dag_id) != dag.version_id)

    def _open_one(self, dag: DueDag, now: datetime) -> int:
        try:
            return self._space.database.write(partial(self._open, dag_id=dag.dag_id, now=now))
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("DAG %s cannot be scheduled and is left aside until it changes", dag.dag_id)
            self._poisoned[dag.dag_id] = dag.version_id
            return 0

    def _renew_continuous(self, now: datetime) -> None:
        """A continuous DAG is due again as soon as its run is over."""
        for dag_id, version_id in self._space.database.read(partial(idle_dags, schedule="@continuous")):
            self._space.database.write(partial(self._renew, dag_id=dag_id, version_id=version_id, now=now))

    def _renew(self, connection: Connection, dag_id: str, version_id: int, now: datetime) -> None:
        plan = self._space.plans.get(connection, version_id)
        tick = plan.schedule.next_after(now) if allows(plan.document, RunType.SCHEDULED) else None
        if tick is not None:
            set_next_tick(connection, dag_id, tick, due=now)

    def _open(self, connection: Connection, dag_id: str, now: datetime) -> int:
        due = hold_due_dag(connection, dag_id, now)
        if due is None:
            return 0
        plan = self._space.plans.get(connection, due.version_id)
        if plan.schedule.timetable.kind == "continuous" and has_active_run(connection, dag_id):
            set_next_tick(connection, dag_id, None)
            return 0
        if not allows(plan.document, RunType.SCHEDULED):  # another version did when the tick was noted
            set_next_tick(connection, dag_id, None)
            return 0
        schedule, document = schedule_for(connection, plan.document), plan.document
        ticks = plan_ticks(schedule, Tick.from_dict(due.next_tick), now, catchup=document.catchup)
        effects = Effects()
        _tell_dropped(ticks, dag_id, now, effects)
        made = sum(self._make(connection, plan, tick, now, effects) for tick in ticks.make)
        set_next_tick(connection, dag_id, ticks.next)
        append(connection, effects.events)
        return made

    def _make(self, connection: Connection, plan: Plan, tick: Tick, now: datetime, effects: Effects) -> int:
        dag_id = plan.document.dag_id
        order = RunOrder(run_type=RunType.SCHEDULED, tick=tick, logical_date=tick.logical_date, conf={}, actor=ACTOR)
        run_id = run_id_for(RunType.SCHEDULED, tick.logical_date)
        taken = taken_run(connection, dag_id, run_id, tick.logical_date)
        if taken is not None:
            why = f"the run {taken.run_id} already has this logical date"
            effects.tell(EventKind.TICKS_DROPPED, now, dag_id=dag_id, count=1, first=iso(tick.run_after), why=why)
            return 0
        if is_left_out(connection, plan.document, tick, now, effects):
            return 0
        cancel_older(connection, plan.document, run_id, now, effects)
        place(connection, plan.document, plan.version_id, order, now)
        return 1


def _tell_dropped(ticks: TickPlan, dag_id: str, now: datetime, effects: Effects) -> None:
    if ticks.dropped:
        effects.tell(
            EventKind.TICKS_DROPPED,
            now,
            dag_id=dag_id,
            count=ticks.dropped,
            first=iso_or_none(ticks.first_dropped),
            last=iso_or_none(ticks.last_dropped),
            why="catchup is off: the newest tick stands for those before it",
        )
