"""The only writer of state columns.

Each change is a compare-and-set: it names the state that it leaves, and an attempt also its token. An id that does
not come back has lost. The legality of a move comes from ``state.TRANSITIONS``; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, insert, select, update

from clockmill.state import AttemptState, BackfillState, CallbackState, RunState, RunType, TaskKey, TaskState, is_legal
from clockmill.state.states import TASK_TRANSITIONS
from clockmill.storage.batches import Columns, insert_rows, update_rows
from clockmill.storage.records import AttemptEnd, NewTask, RunMove, TaskRow
from clockmill.storage.rows import values_of
from clockmill.storage.tables import attempt, backfill, callback, dag, dag_run, task_instance


class IllegalTransition(AssertionError):
    """A move that the table of transitions does not know: a mistake of ours."""


def _check(what: str, ident: object, old: StrEnum, new: StrEnum) -> None:
    if not is_legal(old, new):
        raise IllegalTransition(f"{what} {ident} cannot go from {old} to {new}.")


# --- runs ------------------------------------------------------------------------------------------------------------


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
            _check("run", move.id, move.old, move.new)
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
            _check("task instance", row.id, old, row.state)
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


# --- backfills -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackfill:
    """A backfill to be made in state ``running``; see the table ``backfill``."""

    dag_id: str
    from_date: datetime
    to_date: datetime
    max_active_runs: int | None
    run_backwards: bool
    reprocess_behavior: str
    task_regex: str
    conf: dict[str, Any]
    canary: int | None
    stop_at: str
    created_at: datetime
    created_by: str


def create_backfill(connection: Connection, new: NewBackfill) -> int:
    """Insert a backfill whose runs the scheduler is to make; returns its id."""
    values = {**values_of(new), "state": BackfillState.RUNNING.value}
    ident: int = connection.execute(insert(backfill).values(**values).returning(backfill.c.id)).scalar_one()
    return ident


def move_backfill(
    connection: Connection,
    ident: int,
    old: BackfillState,
    new: BackfillState,
    *,
    reason: str = "",
    **changes: datetime | bool | None,
) -> bool:
    """Send a backfill to another state.

    :param changes: new values of ``ended_at``, ``resumed_at``, ``is_settled``.
    :returns: whether it was in the state that it should have left.
    """
    _check("backfill", ident, old, new)
    statement = (
        update(backfill)
        .where(backfill.c.id == ident, backfill.c.state == old.value)
        .values(state=new.value, reason=reason, **changes)
    )
    return bool(connection.execute(statement).rowcount)


# --- attempts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttempt:
    """An attempt to be made: claimed at once for a supervisor with a free slot, or offered to a broker.

    It is one of a task instance or of a callback.

    :param supervisor_id: who has it; None for an offer.
    """

    id: str
    task_instance_id: int | None
    dag_run_id: int
    try_number: int
    token: str
    executor: str
    queue: str
    supervisor_id: str | None
    pool: str
    pool_slots: int
    queued_at: datetime
    callback_id: int | None = None


def create_attempts(connection: Connection, attempts: Sequence[NewAttempt]) -> None:
    """Insert live attempts; the database refuses a second one for the same task instance."""
    rows = []
    for new in attempts:
        state = AttemptState.QUEUED if new.supervisor_id is None else AttemptState.RUNNING
        claimed_at = None if new.supervisor_id is None else new.queued_at
        values = values_of(new)
        rows.append({**values, "state": state.value, "claimed_at": claimed_at})
    if rows:
        connection.execute(insert(attempt), rows)


_END_COLUMNS: Columns = (
    ("id", "text"),
    ("token", "text"),
    ("old", "text"),
    ("state", "text"),
    ("started_at", "bigint"),
    ("ended_at", "bigint"),
    ("exit_code", "integer"),
    ("signal", "integer"),
    ("reason", "text"),
    ("peak_memory_kb", "integer"),
    ("cpu_seconds", "double precision"),
)
_END_ASSIGNED = tuple(name for name, _ in _END_COLUMNS if name not in {"id", "old", "token"})


def end_attempts(connection: Connection, ends: Iterable[AttemptEnd]) -> set[str]:
    """End attempts; returns the ids that were ended, each exactly once ever."""
    rows = []
    for end in ends:
        _check("attempt", end.id, end.old, end.new)
        rows.append({**values_of(end), "state": end.new})
    condition = "attempt.state = v.old AND attempt.token = v.token"
    return update_rows(connection, "attempt", _END_COLUMNS, _END_ASSIGNED, condition, rows)


def stop_attempts(connection: Connection, task_instance_ids: Iterable[int]) -> list[str]:
    """Ask for the live attempts of task instances to be stopped; returns their ids.

    A stopping attempt keeps its slots and bars the next one until its supervisor says that its processes are gone.
    """
    live = (AttemptState.QUEUED.value, AttemptState.RUNNING.value)
    statement = (
        update(attempt)
        .where(attempt.c.task_instance_id.in_(list(task_instance_ids)), attempt.c.state.in_(live))
        .values(state=AttemptState.STOPPING.value)
        .returning(attempt.c.id)
    )
    return [row.id for row in connection.execute(statement)]


# --- callbacks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCallback:
    """A call of an author's function, to be made by a task process of its own.

    :param kind: which function: ``on_failure_callback``, ``deadline:0`` and so on.
    :param context: what it is told beside the run.
    """

    dag_run_id: int
    task_instance_id: int | None
    kind: str
    context: dict[str, Any]
    created_at: datetime


def create_callbacks(connection: Connection, callbacks: Sequence[NewCallback]) -> None:
    """Insert pending callbacks."""
    rows = [{**values_of(new), "state": CallbackState.PENDING.value} for new in callbacks]
    if rows:
        connection.execute(insert(callback), rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackMove:
    """A pending callback as it is written after an attempt.

    :param ended_at: None while it stays pending.
    """

    id: int
    new: CallbackState
    crashes: int
    reason: str
    ended_at: datetime | None


def move_callbacks(connection: Connection, moves: Iterable[CallbackMove]) -> None:
    """Write what an attempt made of pending callbacks."""
    pending = CallbackState.PENDING
    for move in moves:
        if move.new is not pending:
            _check("callback", move.id, pending, move.new)
        connection.execute(
            update(callback)
            .where(callback.c.id == move.id, callback.c.state == pending.value)
            .values(state=move.new.value, crashes=move.crashes, reason=move.reason, ended_at=move.ended_at)
        )
