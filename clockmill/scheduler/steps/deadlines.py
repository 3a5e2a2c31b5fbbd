"""Deadlines: met, missed, or warned of because by the usual time they will be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from clockmill.actions.deadlines import keep_deadlines_of_tasks
from clockmill.clock import iso
from clockmill.events import EventKind
from clockmill.scheduler.steps.callbacks import new_callback
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import Effects
from clockmill.state import GOOD_TASK_STATES, RunState
from clockmill.storage.deadlines import DeadlineRow, deadlines_of_run, note_deadlines, open_deadlines
from clockmill.storage.engine import Connection
from clockmill.storage.records import TaskRow

#: When the next look is due for a deadline that is far away.
Soonest = datetime | None


def begin_deadlines(connection: Connection, view: RunView, now: datetime) -> None:
    """Keep the deadlines of the tasks of a run that has just begun; one that begins again keeps those that it had."""
    document = view.plan.document
    if not document.watches_tasks or deadlines_are_kept(connection, view.run.id):
        return
    ids: dict[str, int] = {}
    for row in view.aggregate.tasks.values():
        ids.setdefault(row.task_id, row.id)
    keep_deadlines_of_tasks(connection, document, view.run.id, ids, now)


def deadlines_are_kept(connection: Connection, dag_run_id: int) -> bool:
    """Whether the tasks of a run have deadlines in rows already."""
    return any(row.task_instance_id is not None for row in deadlines_of_run(connection, dag_run_id))


def is_watched(view: RunView) -> bool:
    """Whether what changed in a run may have met a deadline; to be asked before it is written."""
    document = view.plan.document
    return bool(
        (document.deadlines and view.aggregate.has_moved) or (document.watches_tasks and view.aggregate.is_changed)
    )


def _has_deadlines(view: RunView) -> bool:
    document = view.plan.document
    return bool(document.deadlines) or document.watches_tasks


def judge_deadlines(
    connection: Connection, views: Mapping[int, RunView], runs: Iterable[int], effects: Effects, now: datetime
) -> Soonest:
    """Write down which deadlines of these runs are met, missed or in danger, and order what follows.

    :param views: the runs that are held; others are left alone.
    :returns: when the next of them is due.
    """
    held = [ident for ident in runs if ident in views and _has_deadlines(views[ident])]
    if not held:
        return None
    changes: dict[int, dict[str, Any]] = {}
    soonest: Soonest = None
    for row in open_deadlines(connection, held):
        change = _judge(views[row.dag_run_id], row, effects, now)
        if change:
            changes[row.id] = change
        if not {"met_at", "missed_at"} & change.keys():
            next_look = row.due_at if row.warn_at is None or "warn_at" in change else min(row.due_at, row.warn_at)
            soonest = min(filter(None, (soonest, next_look)))
    note_deadlines(connection, changes)
    return soonest


def _judge(view: RunView, row: DeadlineRow, effects: Effects, now: datetime) -> dict[str, Any]:
    rows = _instances(view, row)
    done_at = _done_at(view, rows)
    if done_at is not None and done_at <= row.due_at:
        return {"met_at": done_at, "warn_at": None}
    if row.due_at <= now:
        _miss(view, row, rows, effects, now)
        return {"missed_at": now, "warn_at": None}
    if row.warn_at is not None and row.warn_at <= now:
        began = _began_at(view, rows)
        if began is not None and began <= row.warn_at:
            return {"warn_at": None}
        usual = (row.due_at - row.warn_at).total_seconds()
        effects.tell(EventKind.DEADLINE_WARNING, now, view.run, **_told(row, rows), usual_seconds=usual)
        return {"warned_at": now, "warn_at": None}
    return {}


def _instances(view: RunView, row: DeadlineRow) -> list[TaskRow]:
    """The instances of the task that a deadline is for, empty for that of a run."""
    if row.task_instance_id is None or row.task_instance_id not in view.aggregate.keys:
        return []
    task_id = view.key_of(row.task_instance_id).task_id
    return [each for each in view.aggregate.tasks.values() if each.task_id == task_id]


def _done_at(view: RunView, rows: list[TaskRow]) -> datetime | None:
    if not rows:
        return view.run.end_date if view.run.state is RunState.SUCCESS else None
    if not all(each.state in GOOD_TASK_STATES for each in rows):  # after another end, a rerun may yet meet it
        return None
    return max((each.end_date for each in rows if each.end_date is not None), default=None)


def _began_at(view: RunView, rows: list[TaskRow]) -> datetime | None:
    if not rows:
        return view.run.start_date
    return min((each.start_date for each in rows if each.start_date is not None), default=None)


def _miss(view: RunView, row: DeadlineRow, rows: list[TaskRow], effects: Effects, now: datetime) -> None:
    effects.tell(EventKind.DEADLINE_MISSED, now, view.run, **_told(row, rows))
    told = {"name": row.name, "due_at": iso(row.due_at)}
    reason = f"the deadline {row.name!r} was missed: due at {iso(row.due_at)}"
    if rows:
        if "on_deadline_missed_callback" in view.plan.tasks[rows[0].task_id].callbacks:
            effects.callbacks.append(
                new_callback(view, "on_deadline_missed_callback", now, rows[0], reason=reason, deadline=told)
            )
        return
    alerts = view.plan.document.deadlines
    if row.position < len(alerts) and alerts[row.position]["has_callback"]:
        effects.callbacks.append(new_callback(view, f"deadline:{row.position}", now, reason=reason, deadline=told))


def _told(row: DeadlineRow, rows: list[TaskRow]) -> dict[str, Any]:
    task = {"task_id": rows[0].task_id} if rows else {}
    return {**task, "name": row.name, "due_at": iso(row.due_at)}
