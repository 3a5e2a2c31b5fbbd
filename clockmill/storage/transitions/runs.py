"""Runs and their task instances, as they are made and moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from clockmill.state import RunState, RunType, TaskKey, TaskState
from clockmill.state.states import TASK_TRANSITIONS
from clockmill.storage.batches import Columns, insert_rows, update_rows
from clockmill.storage.records import NewTask, RunMove, TaskRow
from clockmill.storage.rows import values_of
from clockmill.storage.tables import dag, dag_run, task_instance
from clockmill.storage.transitions.legality import IllegalTransition, check


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be made in state ``queued``."""

    dag_id: str
    run_id: str
    version_id: int
    run_type: RunType
    logical_date: datetime | None
    run_after: datetime
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    conf: dict[str, Any]
    queued_at: datetime
    created_by: str
    note: str = ""
    backfill_id: int | None = None


def create_run(connection: Connection, run: NewRun, tasks: Sequence[NewTask]) -> int:
    """Insert a queued run with its task instances in state ``none``; returns the row id.

    The run takes the ``max_active_tasks`` that its DAG has now.

    :raises sqlalchemy.exc.IntegrityError: when the run id or the logical date is taken.
    """
    values = values_of(run)
    limit = select(dag.c.max_active_tasks).where(dag.c.dag_id == run.dag_id).scalar_subquery()
    values.update(state=RunState.QUEUED.value, run_type=run.run_type.value, max_active_tasks=limit)
    ident: int = connection.execute(insert(dag_run).values(**values).returning(dag_run.c.id)).scalar_one()
    if tasks:
        connection.execute(
            insert(task_instance),
            [{"dag_run_id": ident, **values_of(task)} for task in tasks],
        )
    return ident


def create_runs(
    connection: Connection, runs: Sequence[NewRun], tasks: Sequence[NewTask], removed: Mapping[str, str]
) -> None:
    """Insert queued runs of one DAG, each with the same task instances.

    :param removed: task id -> why that task is not part of these runs.
    :raises sqlalchemy.exc.IntegrityError: when a run id or a logical date is taken.
    """
    if not runs:
        return
    limit = connection.execute(select(dag.c.max_active_tasks).where(dag.c.dag_id == runs[0].dag_id)).scalar_one()
    state = {"state": RunState.QUEUED.value, "max_active_tasks": limit}
    rows = [{**values_of(run), "run_type": run.run_type.value, **state} for run in runs]
    ids = list(connection.scalars(insert(dag_run).returning(dag_run.c.id), rows))
    each = [_first_values(task, removed.get(task.task_id)) for task in tasks]
    if each:
        new = ({"dag_run_id": ident, **values} for ident in ids for values in each)
        insert_rows(connection, "task_instance", _FIRST_TASK_COLUMNS, ("id",), new)


_FIRST_TASK_COLUMNS: Columns = (
    ("dag_run_id", "bigint"),
    ("task_id", "text"),
    ("scope", "text"),
    ("map_index", "integer"),
    ("item", "integer"),
    ("state", "text"),
    ("max_tries", "integer"),
    ("priority", "integer"),
    ("lane", "integer"),
    ("pool", "text"),
    ("pool_slots", "integer"),
    ("max_active_per_dag", "integer"),
    ("max_active_per_run", "integer"),
    ("executor", "text"),
    ("queue", "text"),
    ("resources", "text"),
    ("reason", "text"),
)


def _first_values(task: NewTask, removed: str | None) -> dict[str, Any]:
    state = TaskState.NONE if removed is None else TaskState.REMOVED
    return {**values_of(task), "state": state.value, "reason": removed or ""}


_RUN_COLUMNS: Columns = (
    ("id", "bigint"),
    ("old", "text"),
    ("state", "text"),
    ("revision", "bigint"),
    ("version_id", "bigint"),
    ("start_date", "bigint"),
    ("end_date", "bigint"),
    ("deadline_at", "bigint"),
    ("ending", "text"),
    ("reason", "text"),
)
_RUN_ASSIGNED = tuple(name for name, _ in _RUN_COLUMNS if name not in {"id", "old"})


def move_runs(connection: Connection, moves: Iterable[RunMove]) -> set[int]:
    """Write runs, whether or not their state changes; the caller holds their rows. Returns the ids written."""
    rows = []
    for move in moves:
        if move.old is not move.new:
            check("run", move.id, move.old, move.new)
        rows.append({**values_of(move), "state": move.new})
    return update_rows(connection, "dag_run", _RUN_COLUMNS, _RUN_ASSIGNED, "dag_run.state = v.old", rows)


# --- task instances --------------------------------------------------------------------------------------------------


_TASK_COLUMNS: Columns = (
    ("id", "bigint"),
    ("old", "text"),
    ("state", "text"),
    ("scope", "text"),
    ("map_index", "integer"),
    ("item", "integer"),
    ("label", "text"),
    ("try_number", "integer"),
    ("max_tries", "integer"),
    ("crashes", "integer"),
    ("revision", "bigint"),
    ("due_at", "bigint"),
    ("reschedules", "integer"),
    ("first_start", "bigint"),
    ("resume", "json"),
    ("cut_short", "boolean"),
    ("leaves_out", "json"),
    ("scheduled_at", "bigint"),
    ("start_date", "bigint"),
    ("end_date", "bigint"),
    ("reason", "text"),
)
_TASK_ASSIGNED = tuple(name for name, _ in _TASK_COLUMNS if name not in {"id", "old"})


def move_tasks(connection: Connection, changes: Iterable[tuple[TaskState, TaskRow]]) -> set[int]:
    """Write task instances under their run's row.

    :param changes: the state that each leaves, and the row as it is to be.
    :returns: the ids that were written; one that is missing was not in the state that it should have left.
    """
    rows = []
    for old, row in changes:
        if old is not row.state:
            check("task instance", row.id, old, row.state)
        rows.append({"old": old, **{name: getattr(row, name) for name in ("id", *_TASK_ASSIGNED)}})
    return update_rows(connection, "task_instance", _TASK_COLUMNS, _TASK_ASSIGNED, "task_instance.state = v.old", rows)


_NEW_TASK_COLUMNS: Columns = (
    ("dag_run_id", "bigint"),
    ("task_id", "text"),
    ("priority", "integer"),
    ("lane", "integer"),
    ("pool", "text"),
    ("pool_slots", "integer"),
    ("max_active_per_dag", "integer"),
    ("max_active_per_run", "integer"),
    ("executor", "text"),
    ("queue", "text"),
    ("resources", "text"),
    *(column for column in _TASK_COLUMNS if column[0] not in {"id", "old"}),
)
_NEW_TASK_KEY = ("id", *TaskKey._fields)
#: A task instance that a run gets while it goes on may be ready, skipped or removed at once.
_FIRST_STATES = frozenset({TaskState.NONE, *TASK_TRANSITIONS[TaskState.NONE]})


def add_tasks(connection: Connection, rows: Iterable[TaskRow]) -> dict[TaskKey, int]:
    """Insert task instances of a run that goes on, under its row; returns their ids.

    :param rows: as they are to be, their ids left out of account.
    """
    new = []
    for row in rows:
        if row.state not in _FIRST_STATES:
            raise IllegalTransition(f"task instance {row.key} cannot begin as {row.state}.")
        new.append({name: getattr(row, name) for name, _ in _NEW_TASK_COLUMNS})
    if not new:
        return {}
    found = insert_rows(connection, "task_instance", _NEW_TASK_COLUMNS, _NEW_TASK_KEY, new)
    return {TaskKey._make(row[1:]): row[0] for row in found}
