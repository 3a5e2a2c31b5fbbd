"""Attempts: who is live, and what they use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, true, update

from clockmill.state import AttemptState, LimitKey, LimitKind
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.records import AttemptRow
from clockmill.storage.rows import columns_of
from clockmill.storage.tables import attempt, dag_run, lit, task_instance

_FIELDS = tuple(AttemptRow.__slots__)
_COLUMNS = columns_of(AttemptRow, attempt)
_BY_ID = select(*_COLUMNS).where(attempt.c.id.in_(bindparam("ids", expanding=True)))
_IN_USE = select(attempt.c.pool, attempt.c.pool_slots, attempt.c.dag_run_id, attempt.c.task_instance_id).where(
    LIVE_ATTEMPT
)


def _record(row: Row[Any]) -> AttemptRow:
    values = dict(zip(_FIELDS, row, strict=False))
    return AttemptRow(**{**values, "state": AttemptState(values["state"])})


def attempts_by_id(connection: Connection, ids: Collection[str]) -> dict[str, AttemptRow]:
    """The attempts with those ids."""
    return {row.id: _record(row) for row in connection.execute(_BY_ID, {"ids": list(ids)})}


def live_attempts_of(connection: Connection, supervisor_id: str) -> list[AttemptRow]:
    """What a supervisor should have."""
    statement = select(*_COLUMNS).where(LIVE_ATTEMPT, attempt.c.supervisor_id == supervisor_id).order_by(attempt.c.id)
    return [_record(row) for row in connection.execute(statement)]


def live_attempts_of_runs(connection: Connection, dag_run_ids: Collection[int]) -> list[AttemptRow]:
    """The live attempts of runs."""
    statement = (
        select(*_COLUMNS).where(LIVE_ATTEMPT, attempt.c.dag_run_id.in_(list(dag_run_ids))).order_by(attempt.c.id)
    )
    return [_record(row) for row in connection.execute(statement)]


_STOPPING = select(attempt.c.id, attempt.c.executor).where(LIVE_ATTEMPT, attempt.c.state == lit(AttemptState.STOPPING))


def stopping_attempts(connection: Connection) -> dict[str, str]:
    """Every attempt that is to be stopped, with the name of its executor."""
    return {row.id: row.executor for row in connection.execute(_STOPPING)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """An attempt of a task whose user code has begun."""

    dag_run_id: int
    task_instance_id: int
    moment: datetime


def mark_started(connection: Connection, started: Iterable[tuple[str, str, datetime]]) -> list[Beginning]:
    """Note when the user's code of live attempts began, given as ``(attempt id, token, instant)``."""
    found = []
    for ident, token, moment in started:
        statement = (
            update(attempt)
            .where(attempt.c.id == ident, attempt.c.token == token, attempt.c.started_at.is_(None), LIVE_ATTEMPT)
            .values(started_at=moment)
            .returning(attempt.c.dag_run_id, attempt.c.task_instance_id)
        )
        found += [
            Beginning(**row._mapping, moment=moment)
            for row in connection.execute(statement)
            if row.task_instance_id is not None
        ]
    return found


_FOLD = delete(attempt).where(
    attempt.c.task_instance_id == bindparam("task"),
    attempt.c.try_number == bindparam("try_"),
    attempt.c.state == lit(AttemptState.RESCHEDULED),
    attempt.c.id != bindparam("newest"),
)


def fold_reschedules(connection: Connection, newest: Iterable[AttemptRow]) -> None:
    """Forget the looks before these attempts, in the same try: how many they were is a number of the task instance."""
    rows = [{"task": row.task_instance_id, "try_": row.try_number, "newest": row.id} for row in newest]
    if rows:
        connection.execute(_FOLD, rows)


def usage(connection: Connection) -> dict[LimitKey, int]:
    """How much of each pool and of each run's limit is in use: a fact about live attempts, never a counter."""
    pools: Counter[str] = Counter()
    runs: Counter[int] = Counter()
    # Live attempts are few. Grouping them in SQL makes SQLite walk through all of history in the order of the groups.
    for pool, slots, dag_run_id, task_instance_id in connection.execute(_IN_USE):
        pools[pool] += slots
        if task_instance_id is not None:  # an author's callback is no task of the run
            runs[dag_run_id] += 1
    used = {LimitKey(LimitKind.POOL, pool): slots for pool, slots in pools.items()}
    return used | {LimitKey(LimitKind.RUN_TASKS, str(ident)): number for ident, number in runs.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTask:
    """A task instance that has a live attempt, with the limits that it counts for."""

    dag_id: str
    dag_run_id: int
    task_id: str
    max_active_tasks: int
    max_active_per_dag: int | None
    max_active_per_run: int | None


_LIVE_TASKS = (
    select(
        dag_run.c.dag_id,
        attempt.c.dag_run_id,
        task_instance.c.task_id,
        dag_run.c.max_active_tasks,
        task_instance.c.max_active_per_dag,
        task_instance.c.max_active_per_run,
    )
    .join(task_instance, task_instance.c.id == attempt.c.task_instance_id)
    .join(dag_run, dag_run.c.id == attempt.c.dag_run_id)
    .where(LIVE_ATTEMPT)
)


def live_tasks(connection: Connection) -> list[LiveTask]:
    """Every task instance that has a live attempt: more than :func:`usage` tells, for a little more work."""
    return [LiveTask(**row._mapping) for row in connection.execute(_LIVE_TASKS)]


def executors_in_use(connection: Connection) -> set[str]:
    """The names of the executors that live attempts were made for."""
    return set(connection.execute(select(attempt.c.executor).where(LIVE_ATTEMPT).distinct()).scalars())


def live_holders(
    connection: Connection,
    *,
    pool_name: str | None = None,
    dag_id: str | None = None,
    dag_run_id: int | None = None,
    task_id: str | None = None,
    executor: str | None = None,
    supervisors: Collection[str] | None = None,
    limit: int = 20,
) -> list[dict[str, Any]]:
    """The task instances that hold slots, oldest first: ``dag_id run_id task_id map_index pool_slots since``.

    What is given narrows it to those of a pool, a DAG, a run, a task, an executor or supervisors and workers.
    """
    narrow = (
        (attempt.c.pool, pool_name),
        (dag_run.c.dag_id, dag_id),
        (attempt.c.dag_run_id, dag_run_id),
        (task_instance.c.task_id, task_id),
        (attempt.c.executor, executor),
    )
    statement = (
        select(
            dag_run.c.dag_id,
            dag_run.c.run_id,
            task_instance.c.task_id,
            task_instance.c.map_index,
            attempt.c.pool_slots,
            attempt.c.queued_at.label("since"),
        )
        .join(task_instance, task_instance.c.id == attempt.c.task_instance_id)
        .join(dag_run, dag_run.c.id == attempt.c.dag_run_id)
        .where(LIVE_ATTEMPT, *(column == value for column, value in narrow if value is not None))
        .where(attempt.c.supervisor_id.in_(sorted(supervisors)) if supervisors is not None else true())
        .order_by(attempt.c.queued_at, attempt.c.id)  # by id alone, SQLite would walk through all of history
        .limit(limit)
    )
    return [dict(row._mapping) for row in connection.execute(statement)]
