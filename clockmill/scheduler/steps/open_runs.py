"""Make the runs that are due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from clockmill.actions.create import RunOrder, place, run_id_for
from clockmill.actions.schedules import allows, schedule_for
from clockmill.clock import iso, iso_or_none
from clockmill.events import EventKind
from clockmill.scheduler.plans import Plan
from clockmill.scheduler.quarantine import Quarantine
from clockmill.scheduler.steps.continuous import continuous_tick, due_continuously
from clockmill.scheduler.steps.overlap import cancel_older, is_left_out
from clockmill.scheduler.ticks import TickPlan, plan_ticks
from clockmill.scheduler.workspace import ACTOR, Effects, Workspace
from clockmill.state import RunType
from clockmill.storage.engine import Connection, DatabaseUnavailable
from clockmill.storage.events import append
from clockmill.storage.runs import taken_run
from clockmill.storage.schedules import DueDag, due_dags, hold_due_dag, idle_dags, set_next_tick
from clockmill.timetables import Tick

log = logging.getLogger(__name__)

T = TypeVar("T")


class OpenRuns:
    """Each due tick becomes exactly one run, or an event that says why not.

    ``next_due`` is the first tick that was noted in the last pass, or None.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        #: The DAGs that cannot be scheduled.
        self.aside: Quarantine[str] = Quarantine()
        self.next_due: datetime | None = None

    def run_once(self) -> int:
        """Deal with every DAG that is due now, one transaction each; returns how many runs were made."""
        now = self._space.clock.now()
        self._renew_continuous(now)
        due = self._space.database.read(lambda connection: due_dags(connection, now))
        return sum(self._open_one(dag, now) for dag in due if not self.aside.holds(dag.dag_id, dag.version_id))

    def _open_one(self, dag: DueDag, now: datetime) -> int:
        return self._apart(dag.dag_id, dag.version_id, partial(self._open, dag_id=dag.dag_id, now=now)) or 0

    def _renew_continuous(self, now: datetime) -> None:
        """A continuous DAG is due again once its run is over and the gap has passed."""
        idle = self._space.database.read(partial(idle_dags, schedule="@continuous"))
        ticks = [
            self._apart(dag_id, version_id, partial(self._renew, dag_id=dag_id, version_id=version_id, now=now))
            for dag_id, version_id in idle
            if not self.aside.holds(dag_id, version_id)
        ]
        self.next_due = min((tick.run_after for tick in ticks if tick is not None), default=None)

    def _apart(self, dag_id: str, version_id: int, work: Callable[[Connection], T]) -> T | None:
        """Do it; a DAG that cannot be scheduled disturbs no other."""
        try:
            return self._space.database.write(work)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("DAG %s cannot be scheduled and is left aside until it changes", dag_id)
            self.aside.put(dag_id, version_id)
            return None

    def _renew(self, connection: Connection, dag_id: str, version_id: int, now: datetime) -> Tick | None:
        plan = self._space.plans.get(connection, version_id)
        if not allows(plan.document, RunType.SCHEDULED):
            return None
        tick = continuous_tick(connection, plan, now)
        if tick is not None:
            set_next_tick(connection, dag_id, tick)
        return tick

    def _open(self, connection: Connection, dag_id: str, now: datetime) -> int:
        due = hold_due_dag(connection, dag_id, now)
        if due is None:
            return 0
        plan = self._space.plans.get(connection, due.version_id)
        if not allows(plan.document, RunType.SCHEDULED):  # another version did when the tick was noted
            set_next_tick(connection, dag_id, None)
            return 0
        effects = Effects()
        ticks = self._due_ticks(connection, plan, due, now)
        _tell_dropped(ticks, dag_id, now, effects)
        made = sum(self._make(connection, plan, tick, now, effects) for tick in ticks.make)
        set_next_tick(connection, dag_id, ticks.next)
        append(connection, effects.events)
        return made

    def _due_ticks(self, connection: Connection, plan: Plan, due: DueDag, now: datetime) -> TickPlan:
        tick = Tick.from_dict(due.next_tick)
        if plan.schedule.timetable.kind == "continuous":
            return due_continuously(connection, plan, tick, now)
        return plan_ticks(schedule_for(connection, plan.document), tick, now, catchup=plan.document.catchup)

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
