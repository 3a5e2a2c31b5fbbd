"""What a change of many runs at once reads, and writes beside states."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from clockmill.storage.batches import chunks
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.records import TaskRow
from clockmill.storage.runs import TASK_COLUMNS, task_row
from clockmill.storage.tables import attempt, dag_run, task_instance

#: Runs whose task instances are read by one statement.
_RUNS_AT_ONCE = 200

#: The columns of a task instance that its definition gives, beside its number of tries.
DEFINED = (
    "priority",
    "pool",
    "pool_slots",
    "executor",
    "queue",
    "resources",
    "max_active_per_dag",
    "max_active_per_run",
)


def select_runs(
    connection: Connection,
    dag_id: str,
    *,
    run_ids: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int,
) -> dict[int, str]:
    """Runs of a DAG by row id, with their run ids, oldest first.

    :param run_ids: only those; all when empty.
    :param since: only those whose logical date, or the moment when they were due if they have none, is not before.
    :param until: likewise, not after.
    """
    statement = select(dag_run.c.id, dag_run.c.run_id).where(dag_run.c.dag_id == dag_id)
    if run_ids:
        statement = statement.where(dag_run.c.run_id.in_(run_ids))
    if since is not None:
        statement = statement.where(
            or_(dag_run.c.logical_date >= since, and_(dag_run.c.logical_date.is_(None), dag_run.c.run_after >= since))
        )
    if until is not None:
        statement = statement.where(
            or_(dag_run.c.logical_date <= until, and_(dag_run.c.logical_date.is_(None), dag_run.c.run_after <= until))
        )
    return {row.id: row.run_id for row in connection.execute(statement.order_by(dag_run.c.id).limit(limit))}


def tasks_of_runs(connection: Connection, ids: Collection[int]) -> Iterator[tuple[int, list[TaskRow]]]:
    """The task instances of each run, by the row id of the run; each list in the order in which they were made."""
    for some in chunks(ids, _RUNS_AT_ONCE):
        statement = select(*TASK_COLUMNS).where(task_instance.c.dag_run_id.in_(some))
        rows = connection.execute(statement.order_by(task_instance.c.dag_run_id, task_instance.c.id))
        yield from ((key, list(found)) for key, found in groupby(map(task_row, rows), lambda row: row.dag_run_id))


def tasks_with_attempts(connection: Connection, ids: Collection[int]) -> set[int]:
    """The task instances of runs that have a live attempt, also one that is being stopped."""
    found: set[int] = set()
    for some in chunks(ids):
        statement = select(attempt.c.task_instance_id).where(LIVE_ATTEMPT, attempt.c.dag_run_id.in_(some))
        found |= {ident for ident in connection.scalars(statement) if ident is not None}
    return found


_REDEFINE = (
    update(task_instance)
    .where(task_instance.c.id == bindparam("ident"))
    .values({name: bindparam(f"new_{name}") for name in DEFINED})
)


def redefine_tasks(connection: Connection, values: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Give task instances, by row id, what another version of their DAG defines; see :data:`DEFINED`."""
    rows = [{"ident": ident, **{f"new_{name}": new[name] for name in DEFINED}} for ident, new in values]
    if rows:
        connection.execute(_REDEFINE, rows)
