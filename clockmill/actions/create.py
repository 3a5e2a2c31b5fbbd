"""Making a run of a DAG version: the same for a tick, a person and a backfill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clockmill.actions.deadlines import keep_deadlines_of_run
from clockmill.serde import Document, TaskDoc
from clockmill.state import RunType, TaskKey
from clockmill.state.resources import to_text
from clockmill.storage.backfills import LANE
from clockmill.storage.engine import Connection
from clockmill.storage.records import NewTask, RunRow
from clockmill.storage.transitions import NewRun, create_run
from clockmill.timetables import Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """A run that somebody wants.

    :param run_id: its id, made from type and date when None.
    :param actor: who wants it.
    """

    run_type: RunType
    tick: Tick
    logical_date: datetime | None
    run_id: str | None = None
    conf: dict[str, Any]
    actor: str
    note: str = ""


def lane_of(run: RunRow) -> int:
    """Where the tasks of a run stand in line; see :data:`clockmill.storage.backfills.LANE`."""
    return 0 if run.backfill_id is None else LANE


def run_id_for(run_type: RunType, moment: datetime) -> str:
    """The id that a run gets when nobody chose one: ``scheduled__2026-01-01T00:00:00+00:00``."""
    return f"{run_type}__{moment.isoformat()}"


def new_tasks(document: Document, *, lane: int = 0) -> Sequence[NewTask]:
    """The task instances that a run of this version begins with."""
    return [new_task(task, TaskKey(task.task_id), lane=lane) for task in document.tasks]


def new_task(task: TaskDoc, key: TaskKey, *, item: int = -1, lane: int = 0) -> NewTask:
    """A task instance of a task.

    :param item: which element of its own expansion it takes.
    :param lane: 0 in a live run, 1 in one of a backfill.
    """
    return NewTask(
        task_id=task.task_id,
        scope=key.scope,
        map_index=key.map_index,
        item=item,
        max_tries=task.retries + 1,
        priority=task.priority,
        lane=lane,
        pool=task.pool,
        pool_slots=task.pool_slots,
        executor=task.executor or "",
        queue=task.queue,
        resources=to_text(task.resources),
        max_active_per_dag=task.max_active_per_dag,
        max_active_per_run=task.max_active_per_run,
    )


def place(connection: Connection, document: Document, version_id: int, order: RunOrder, now: datetime) -> int:
    """Insert the run with its task instances, queued; returns its row id."""
    moment = order.logical_date or order.tick.run_after
    run = NewRun(
        dag_id=document.dag_id,
        run_id=order.run_id or run_id_for(order.run_type, moment),
        version_id=version_id,
        run_type=order.run_type,
        logical_date=order.logical_date,
        run_after=order.tick.run_after,
        data_interval_start=order.tick.start,
        data_interval_end=order.tick.end,
        conf=order.conf,
        queued_at=now,
        created_by=order.actor,
        note=order.note,
    )
    ident = create_run(connection, run, new_tasks(document))
    if order.run_type is not RunType.BACKFILL:  # what a backfill makes up for is long overdue
        keep_deadlines_of_run(connection, document, ident, order.logical_date, now)
    return ident
