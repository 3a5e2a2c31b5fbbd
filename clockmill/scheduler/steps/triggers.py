"""Tasks that gave their slot back: what they wait for, and how they go on in the same try."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from clockmill.clock import parse_iso_or_none
from clockmill.protocols import AttemptReport
from clockmill.scheduler.views import RunView
from clockmill.state import TaskState
from clockmill.state.retry import MAX_DELAY_SECONDS
from clockmill.storage.engine import Connection
from clockmill.storage.records import TaskRow
from clockmill.storage.triggers import Firing, NewTrigger, drop_triggers, take_over


def pause(row: TaskRow, report: AttemptReport, now: datetime) -> dict[str, Any]:
    """What changes in a task instance whose try is not over: it is deferred, or looks again later.

    What it has pushed is kept with it, where nobody else looks, until the try succeeds.
    """
    first_start = row.first_start or parse_iso_or_none(report.started_at) or row.start_date or now
    resume: dict[str, Any] = {"xcoms": [list(pair) for pair in report.xcoms]} if report.xcoms else {}
    changes: dict[str, Any] = {"first_start": first_start, "start_date": first_start, "end_date": None}
    changes["label"] = report.label or row.label
    if report.defer is not None:
        resume |= {"method": report.defer["method"], "kwargs": report.defer["method_kwargs"]}
    else:
        changes |= {"due_at": parse_iso_or_none(report.look_again_at) or now, "reschedules": row.reschedules + 1}
    return {**changes, "resume": resume or None}


def trigger_for(view: RunView, row: TaskRow, defer: Mapping[str, Any], now: datetime) -> NewTrigger:
    """What a deferred task waits for.

    :param defer: see :attr:`clockmill.protocols.AttemptReport.defer`.
    """
    seconds = defer.get("timeout")
    wait = None if seconds is None else timedelta(seconds=min(max(seconds, 0.0), MAX_DELAY_SECONDS))
    return NewTrigger(
        task_instance_id=row.id,
        dag_run_id=row.dag_run_id,
        class_path=defer["class_path"],
        kwargs=defer["kwargs"],
        bundle=view.plan.bundle,
        file=view.plan.file,
        pool=row.pool,
        pool_slots=row.pool_slots,
        created_at=now,
        timeout_at=None if wait is None else now + wait,
    )


def go_on(connection: Connection, views: Mapping[int, RunView], now: datetime) -> None:
    """Schedule the tasks whose triggers have fired or are late, in these runs, which are held."""
    stray = [
        firing for firing in take_over(connection, views, now) if not _go_on(views[firing.dag_run_id], firing, now)
    ]
    drop_triggers(connection, [firing.task_instance_id for firing in stray])


def _go_on(view: RunView, firing: Firing, now: datetime) -> bool:
    """Schedule one, unless it waits no more."""
    key = view.key_of(firing.task_instance_id)
    row = view.task(key)
    if row.state is not TaskState.DEFERRED:
        return False
    answer = {"event": firing.event} if firing.error is None else {"error": firing.error}
    view.schedule(key, now, same_try=True)
    view.change(key, resume={**(row.resume or {}), **answer})
    return True
