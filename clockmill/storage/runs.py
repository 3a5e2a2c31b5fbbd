"""Runs and their task instances: lock, load, look for what is due."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, Row, Select, bindparam, func, or_, select, update

from clockmill.state import RunEnding, RunState, RunType, TaskState
from clockmill.storage.conditions import ACTIVE_RUN
from clockmill.storage.deadlines import NEXT_DUE, NEXT_WARNING
from clockmill.storage.offers import NEXT_RING
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.rows import columns_of
from clockmill.storage.tables import Instant, dag, dag_run, lit, task_instance, task_trigger

_RUN_FIELDS = tuple(RunRow.__slots__)
_TASK_FIELDS = tuple(TaskRow.__slots__)
_RUN_COLUMNS = columns_of(RunRow, dag_run)
TASK_COLUMNS = columns_of(TaskRow, task_instance)


def run_row(row: Row[Any]) -> RunRow:
    """The record of a result row that has all columns of a run."""
    values = dict(zip(_RUN_FIELDS, row, strict=False))
    ending = None if values["ending"] is None else RunEnding(values["ending"])
    known = {"state": RunState(values["state"]), "run_type": RunType(values["run_type"]), "ending": ending}
    return RunRow(**{**values, **known})


def task_row(row: Row[Any]) -> TaskRow:
    """The record of a result row that has all columns of a task instance."""
    values = dict(zip(_TASK_FIELDS, row, strict=False))
    return TaskRow(**{**values, "state": TaskState(values["state"])})


def _select_runs() -> Select[Any]:
    return select(*_RUN_COLUMNS)


# Statements that every pass of a scheduler runs are made once: building one costs more than SQLite takes to answer it.
_RUNS_BY_ID = _select_runs().where(dag_run.c.id.in_(bindparam("ids", expanding=True))).order_by(dag_run.c.id)
_LOCK_RUNS = _RUNS_BY_ID.with_for_update()
_LOCK_FREE_RUNS = _RUNS_BY_ID.with_for_update(skip_locked=True)


def lock_runs(connection: Connection, ids: Collection[int], *, skip_locked: bool = False) -> list[RunRow]:
    """Hold the rows of runs, in the order of their ids.

    :param skip_locked: leave out runs that somebody else holds, instead of waiting for them.
    """
    statement = _LOCK_FREE_RUNS if skip_locked else _LOCK_RUNS
    return [run_row(row) for row in connection.execute(statement, {"ids": sorted(ids)})]


def runs_by_id(connection: Connection, ids: Collection[int]) -> list[RunRow]:
    """The rows of runs, in the order of their ids, without holding them."""
    return [run_row(row) for row in connection.execute(_RUNS_BY_ID, {"ids": sorted(ids)})]


def find_run(connection: Connection, dag_id: str, run_id: str) -> RunRow | None:
    """The run with that id, or None."""
    row = connection.execute(_select_runs().where(dag_run.c.dag_id == dag_id, dag_run.c.run_id == run_id)).first()
    return None if row is None else run_row(row)


def run_ids_known(connection: Connection, dag_id: str, limit: int = 200) -> list[str]:
    """The ids of the newest runs of a DAG, for a suggestion."""
    statement = select(dag_run.c.run_id).where(dag_run.c.dag_id == dag_id).order_by(dag_run.c.id.desc()).limit(limit)
    return [row.run_id for row in connection.execute(statement)]


def set_note(connection: Connection, dag_id: str, run_id: str, note: str) -> bool:
    """Give a run its note; whether there is such a run."""
    this = (dag_run.c.dag_id == dag_id, dag_run.c.run_id == run_id)
    return connection.execute(update(dag_run).where(*this).values(note=note)).rowcount > 0


def creator_of(connection: Connection, dag_run_id: int) -> str:
    """Who made a run."""
    statement = select(dag_run.c.created_by).where(dag_run.c.id == dag_run_id)
    return str(connection.execute(statement).scalar_one())


def load_tasks(connection: Connection, dag_run_id: int, *, after_revision: int = -1) -> list[TaskRow]:
    """The task instances of a run that changed after a revision of it, in the order in which they were made."""
    statement = select(*TASK_COLUMNS).where(task_instance.c.dag_run_id == dag_run_id)
    if after_revision >= 0:
        statement = statement.where(task_instance.c.revision > after_revision)
    return [task_row(row) for row in connection.execute(statement.order_by(task_instance.c.id))]


def task_ids_known(connection: Connection, dag_run_id: int) -> list[str]:
    """The task ids of a run, for a suggestion."""
    statement = select(task_instance.c.task_id).where(task_instance.c.dag_run_id == dag_run_id)
    return sorted({row.task_id for row in connection.execute(statement)})


def runs_due(connection: Connection, now: datetime) -> tuple[list[int], list[int]]:
    """Runs whose time is up, and runs in which the next try of a task is due; both by id."""
    late = select(dag_run.c.id).where(
        dag_run.c.state == lit(RunState.RUNNING), dag_run.c.deadline_at.is_not(None), dag_run.c.deadline_at <= now
    )
    retry = select(task_instance.c.dag_run_id).where(task_instance.c.due_at.is_not(None), task_instance.c.due_at <= now)
    return (
        [row.id for row in connection.execute(late.order_by(dag_run.c.id))],
        sorted({row.dag_run_id for row in connection.execute(retry)}),
    )


def next_deadline(connection: Connection, now: datetime) -> datetime | None:
    """The next instant at which a timer of any run or DAG goes off, or a queued run is due that is not yet."""
    deadlines = (
        select(func.min(dag_run.c.run_after)).where(*_QUEUED_LIVE, dag_run.c.run_after > now),
        select(func.min(dag_run.c.deadline_at)).where(
            dag_run.c.state == lit(RunState.RUNNING), dag_run.c.deadline_at.is_not(None)
        ),
        select(func.min(task_instance.c.due_at)).where(task_instance.c.due_at.is_not(None)),
        select(func.min(task_trigger.c.timeout_at)).where(
            task_trigger.c.fired_at.is_(None), task_trigger.c.timeout_at.is_not(None)
        ),
        select(func.min(dag.c.next_run_after)).where(
            dag.c.is_active, ~dag.c.is_paused, dag.c.next_run_after.is_not(None)
        ),
        NEXT_DUE,
        NEXT_WARNING,
        NEXT_RING,
    )
    found = [connection.execute(statement).scalar_one_or_none() for statement in deadlines]
    return min((moment for moment in found if moment is not None), default=None)


_QUEUED_LIVE = (dag_run.c.state == lit(RunState.QUEUED), dag_run.c.backfill_id.is_(None))
_RUNNING = dag_run.c.state == lit(RunState.RUNNING)
_OF_DAG = dag_run.c.dag_id == bindparam("dag_id")
_ROOM = select(dag.c.dag_id, dag.c.max_active_runs)
_DAGS_WITH_QUEUED_RUNS = _ROOM.where(
    dag.c.dag_id.in_(select(dag_run.c.dag_id).where(*_QUEUED_LIVE).distinct()), ~dag.c.is_paused
)
_DAGS_BY_ID = _ROOM.where(dag.c.dag_id.in_(bindparam("dag_ids", expanding=True)))
_RUNNING_COUNT = select(func.count()).where(_RUNNING, _OF_DAG)
_RUNNING_BY_DAG = select(dag_run.c.dag_id, func.count().label("runs")).where(_RUNNING).group_by(dag_run.c.dag_id)
_OLDEST_QUEUED = (
    select(dag_run.c.id)
    .where(*_QUEUED_LIVE, _OF_DAG, dag_run.c.run_after <= bindparam("now", type_=Instant))
    .order_by(dag_run.c.run_after, dag_run.c.id)
    .limit(bindparam("most", type_=Integer))
)
_RUNNING_REVISIONS = select(dag_run.c.id, dag_run.c.revision).where(_RUNNING)


def dags_with_queued_runs(connection: Connection, others: Collection[str] = ()) -> dict[str, int]:
    """The DAGs that could start a queued run now, by name, with their ``max_active_runs``.

    :param others: DAGs that have queued runs of backfills: those runs are many, so nobody reads them for this.
    """
    limits = {row.dag_id: row.max_active_runs for row in connection.execute(_DAGS_WITH_QUEUED_RUNS)}
    if missing := sorted(set(others) - set(limits)):
        limits |= {row.dag_id: row.max_active_runs for row in connection.execute(_DAGS_BY_ID, {"dag_ids": missing})}
    if not limits:
        return {}
    running = {row.dag_id: row.runs for row in connection.execute(_RUNNING_BY_DAG)}
    return {dag_id: most for dag_id, most in sorted(limits.items()) if running.get(dag_id, 0) < most}


def oldest_queued(connection: Connection, dag_id: str, limit: int, now: datetime) -> list[int]:
    """The queued runs of a DAG that come first; left out are those of backfills, and those that are due later."""
    return list(connection.scalars(_OLDEST_QUEUED, {"dag_id": dag_id, "most": limit, "now": now}))


def running_count(connection: Connection, dag_id: str) -> int:
    """How many runs of a DAG are in state ``running``."""
    return int(connection.execute(_RUNNING_COUNT, {"dag_id": dag_id}).scalar_one())


def has_active_run(connection: Connection, dag_id: str) -> bool:
    """Whether a run of that DAG is queued or running."""
    statement = select(dag_run.c.id).where(ACTIVE_RUN, dag_run.c.dag_id == dag_id).limit(1)
    return connection.execute(statement).first() is not None


def newest_run_times(connection: Connection, dag_id: str) -> tuple[datetime, datetime | None] | None:
    """When the newest run of a DAG was due and when it ended, or None when it never ran."""
    statement = select(dag_run.c.run_after, dag_run.c.end_date).where(dag_run.c.dag_id == dag_id)
    row = connection.execute(statement.order_by(dag_run.c.id.desc()).limit(1)).first()
    return None if row is None else (row.run_after, row.end_date)


def taken_run(connection: Connection, dag_id: str, run_id: str, logical_date: datetime | None) -> RunRow | None:
    """The run that already has that run id or that logical date, or None."""
    same = [dag_run.c.run_id == run_id]
    if logical_date is not None:
        same.append(dag_run.c.logical_date == logical_date)
    row = connection.execute(_select_runs().where(dag_run.c.dag_id == dag_id, or_(*same)).limit(1)).first()
    return None if row is None else run_row(row)


def running_revisions(connection: Connection) -> list[tuple[int, int]]:
    """Every running run with its revision, ascending by id: what a memory of runs is compared with."""
    # Sorted here: for ORDER BY id, SQLite walks through the whole history instead of the index of live rows.
    return sorted((row.id, row.revision) for row in connection.execute(_RUNNING_REVISIONS))


def active_runs(connection: Connection, dag_id: str) -> list[RunRow]:
    """The queued and running runs of a DAG, oldest first."""
    statement = _select_runs().where(ACTIVE_RUN, dag_run.c.dag_id == dag_id).order_by(dag_run.c.id)
    return [run_row(row) for row in connection.execute(statement)]
