"""Do to a run, whose row is held, what a plan says."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from clockmill.actions.aggregate import NEW_TRY, RunAggregate
from clockmill.actions.plan import RunPlan, TaskChange
from clockmill.events import Event
from clockmill.state import CLEARED_TASK_STATES, FINISHED_RUN_STATES
from clockmill.storage.batches import chunks
from clockmill.storage.bulk import redefine_tasks
from clockmill.storage.engine import Connection
from clockmill.storage.events import append
from clockmill.storage.rows import values_of
from clockmill.storage.transitions import stop_attempts
from clockmill.storage.triggers import drop_triggers
from clockmill.storage.xcoms import drop_xcoms

#: What a task instance has of its last try, and is without once it changes by a person's hand.
_NOTHING_LEFT: dict[str, Any] = {**NEW_TRY, "due_at": None, "leaves_out": None}
_CLEARED = _NOTHING_LEFT | {"label": "", "crashes": 0, "scheduled_at": None, "start_date": None, "end_date": None}

#: How many tasks an event names; their rows tell of all of them.
_MOST_NAMED = 50


def carry_out(connection: Connection, plan: RunPlan, actor: str, now: datetime) -> None:
    """Write what the plan says, and an event that tells of it.

    Attempts that are live are stopped: they keep their slots until their processes are gone, and count for nothing.
    Values that the changed task instances left are dropped, because only a success that ran has any.
    """
    reason = f"{plan.verb} by {actor}"
    aggregate = RunAggregate(plan.run, plan.rows)
    for change in plan.tasks:
        aggregate.change_task(change.row.key, cut_short=plan.ending is not None, **_columns(change, reason, now))
    for task in plan.added:
        aggregate.add_task(task)
    _change_run(aggregate, plan, reason, now)
    for ids in chunks([change.row.id for change in plan.tasks]):
        stop_attempts(connection, ids)
        drop_xcoms(connection, ids)
        drop_triggers(connection, ids)
    redefine_tasks(connection, [(ident, values_of(task)) for ident, task in plan.redefined])
    aggregate.flush(connection)
    append(connection, [_event(plan, actor, now)])


def _columns(change: TaskChange, reason: str, now: datetime) -> dict[str, Any]:
    if change.to in CLEARED_TASK_STATES:
        return {**_CLEARED, "state": change.to, "max_tries": change.max_tries, "reason": reason}
    return {**_NOTHING_LEFT, "state": change.to, "max_tries": change.max_tries, "end_date": now, "reason": reason}


def _change_run(aggregate: RunAggregate, plan: RunPlan, reason: str, now: datetime) -> None:
    if plan.version_id != plan.run.version_id:
        aggregate.change_run(version_id=plan.version_id)
    if plan.to is plan.run.state:
        if plan.ending is not None or plan.runs_again:
            aggregate.note_ending(plan.ending)
    elif plan.to in FINISHED_RUN_STATES:
        aggregate.finish_run(plan.to, plan.run.end_date or now, reason, plan.ending)
    else:
        aggregate.requeue_run()


def _event(plan: RunPlan, actor: str, now: datetime) -> Event:
    changed = sorted({change.row.task_id for change in plan.tasks} | {task.task_id for task in plan.added})
    detail: dict[str, Any] = {"tasks": changed[:_MOST_NAMED]}
    if len(changed) > _MOST_NAMED:
        detail["more_tasks"] = len(changed) - _MOST_NAMED
    if plan.mark is not None:
        detail["state"] = plan.mark.value
    if said := plan.said_of_run():
        detail["run"] = said
    return Event(kind=plan.kind, at=now, actor=actor, dag_id=plan.run.dag_id, run_id=plan.run.run_id, detail=detail)
