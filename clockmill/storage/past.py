"""The run before a run: that of the same DAG with the greatest smaller logical date, of whatever type."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, String, bindparam, func, select

from clockmill.state import RunState, TaskState
from clockmill.storage.records import RunRow
from clockmill.storage.tables import Instant, Key, dag, dag_run, lit, task_instance


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousRun:
    """The run before, as it stood when it was read."""

    id: int
    run_id: str
    state: RunState
    revision: int
    start_date: datetime | None


_BEFORE = (
    select(*(dag_run.c[name] for name in PreviousRun.__slots__))
    .where(
        dag_run.c.dag_id == bindparam("dag_id", type_=String),
        dag_run.c.logical_date < bindparam("date", type_=Instant),
    )
    .order_by(dag_run.c.logical_date.desc())
    .limit(1)
)
_EARLIER_OF_BACKFILL = (
    select(dag_run.c.id)
    .where(
        dag_run.c.backfill_id == bindparam("backfill_id", type_=Key),
        dag_run.c.logical_date < bindparam("date", type_=Instant),
    )
    .limit(1)
)
_STATES = select(task_instance.c.task_id, task_instance.c.state).where(
    task_instance.c.dag_run_id == bindparam("run", type_=Key),
    task_instance.c.task_id.in_(bindparam("names", expanding=True)),
)


def previous_run(connection: Connection, run: RunRow) -> PreviousRun | None:
    """The run before, or None: for the first one, one without a logical date, and the first of a backfill."""
    if run.logical_date is None:
        return None
    if run.backfill_id is not None:
        values = {"backfill_id": run.backfill_id, "date": run.logical_date}
        if connection.execute(_EARLIER_OF_BACKFILL, values).first() is None:
            return None
    row = connection.execute(_BEFORE, {"dag_id": run.dag_id, "date": run.logical_date}).first()
    return None if row is None else PreviousRun(**{**row._mapping, "state": RunState(row.state)})


def states_of_tasks(connection: Connection, dag_run_id: int, task_ids: Collection[str]) -> dict[str, list[TaskState]]:
    """The states of the instances of some tasks of a run."""
    found: dict[str, list[TaskState]] = {}
    for row in connection.execute(_STATES, {"run": dag_run_id, "names": sorted(task_ids)}):
        found.setdefault(row.task_id, []).append(TaskState(row.state))
    return found


_waits, _busy = dag_run.alias("waits"), dag_run.alias("busy")
_EARLIER_QUEUED = (
    select(dag_run.c.id)
    .join(_waits, _waits.c.dag_id == dag_run.c.dag_id)
    .join(dag, dag.c.dag_id == dag_run.c.dag_id)
    .where(
        _waits.c.id == bindparam("run", type_=Key),
        dag_run.c.state == lit(RunState.QUEUED),
        dag_run.c.backfill_id.is_(None),
        dag_run.c.logical_date < _waits.c.logical_date,
        ~dag.c.is_paused,
        select(func.count())
        .select_from(_busy)
        .where(_busy.c.dag_id == dag_run.c.dag_id, _busy.c.state == lit(RunState.RUNNING))
        .scalar_subquery()
        >= dag.c.max_active_runs,
    )
    .order_by(dag_run.c.logical_date)
    .limit(1)
)


def queued_before(connection: Connection, dag_run_id: int) -> int | None:
    """The first queued run with an earlier date than this one that has no place because its DAG has all of its runs.

    The runs of backfills are left out: their backfill says when they go.
    """
    found: int | None = connection.execute(_EARLIER_QUEUED, {"run": dag_run_id}).scalar_one_or_none()
    return found


_before, _after = dag_run.alias("before"), dag_run.alias("after")
_NOW = (
    select(
        dag_run.c.id,
        select(_before.c.id)
        .where(_before.c.dag_id == dag_run.c.dag_id, _before.c.logical_date < dag_run.c.logical_date)
        .order_by(_before.c.logical_date.desc())
        .limit(1)
        .scalar_subquery()
        .label("previous"),
    )
    .where(dag_run.c.id.in_(bindparam("ids", expanding=True)))
    .subquery()
)
_REVISIONS = select(_NOW.c.id, dag_run.c.id.label("previous"), dag_run.c.revision).join(
    dag_run, dag_run.c.id == _NOW.c.previous
)


def previous_revisions(connection: Connection, dag_run_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """For each run the row id and the revision of the run before it; a run without one is missing."""
    rows = connection.execute(_REVISIONS, {"ids": sorted(dag_run_ids)})
    return {row.id: (row.previous, row.revision) for row in rows}


_NEXT = (
    select(
        select(_after.c.id)
        .where(_after.c.dag_id == dag_run.c.dag_id, _after.c.logical_date > dag_run.c.logical_date)
        .order_by(_after.c.logical_date)
        .limit(1)
        .scalar_subquery()
        .label("next")
    )
    .where(dag_run.c.id.in_(bindparam("ids", expanding=True)))
    .subquery()
)
_NEXT_RUNNING = (
    select(dag_run.c.id, dag_run.c.revision)
    .join(_NEXT, dag_run.c.id == _NEXT.c.next)
    .where(dag_run.c.state == bindparam("running", RunState.RUNNING.value))
)


def next_running(connection: Connection, dag_run_ids: Collection[int]) -> list[tuple[int, int]]:
    """The runs that come right after these and are running, with their revisions."""
    return [(row.id, row.revision) for row in connection.execute(_NEXT_RUNNING, {"ids": sorted(dag_run_ids)})]
