"""Backfills and their runs: hold, load, count. Their state is written by ``storage.transitions``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, case, delete, func, select, text, update

from clockmill.state import OPEN_BACKFILL_STATES, BackfillState, RunState
from clockmill.storage.records import RunRow
from clockmill.storage.rows import columns_of
from clockmill.storage.runs import run_row
from clockmill.storage.tables import backfill, dag, dag_run, lit, task_instance

#: Where tasks of a backfill stand in line: after those of live runs.
LANE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRow:
    """A backfill; see the table ``backfill``."""

    id: int
    dag_id: str
    state: BackfillState
    reason: str
    from_date: datetime
    to_date: datetime
    cursor: datetime | None
    is_settled: bool
    run_count: int
    max_active_runs: int | None
    run_backwards: bool
    reprocess_behavior: str
    task_regex: str
    conf: dict[str, Any]
    canary: int | None
    stop_at: str
    created_at: datetime
    created_by: str
    resumed_at: datetime | None
    ended_at: datetime | None


_COLUMNS = columns_of(BackfillRow, backfill)
_OPEN = backfill.c.state.in_([lit(state) for state in sorted(OPEN_BACKFILL_STATES)])


def backfill_row(row: Row[Any]) -> BackfillRow:
    """The record of a result row that has all columns of a backfill."""
    values = dict(row._mapping)
    return BackfillRow(**{**values, "state": BackfillState(values["state"])})


def find_backfill(connection: Connection, ident: int) -> BackfillRow | None:
    """The backfill with that id, or None."""
    row = connection.execute(select(*_COLUMNS).where(backfill.c.id == ident)).first()
    return None if row is None else backfill_row(row)


_LOCK = (
    select(*_COLUMNS)
    .where(backfill.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(backfill.c.id)
    .with_for_update()
)


def lock_backfills(connection: Connection, ids: Collection[int]) -> list[BackfillRow]:
    """Hold the rows of backfills, in the order of their ids; those of their DAGs are held before."""
    return [backfill_row(row) for row in connection.execute(_LOCK, {"ids": sorted(ids)})]


_RUNNING = (
    select(*_COLUMNS).where(_OPEN, backfill.c.state == lit(BackfillState.RUNNING), backfill.c.is_settled)
).order_by(backfill.c.id)
_UNSETTLED = select(*_COLUMNS).where(~backfill.c.is_settled, backfill.c.state != lit(BackfillState.PAUSED))


def running_backfills(connection: Connection) -> list[BackfillRow]:
    """The backfills that may go on, all of whose runs are made."""
    return [backfill_row(row) for row in connection.execute(_RUNNING)]


def unsettled_backfills(connection: Connection) -> list[BackfillRow]:
    """The backfills of which runs are to be made, or taken back, oldest first."""
    return [backfill_row(row) for row in connection.execute(_UNSETTLED.order_by(backfill.c.id))]


def overlapping_backfill(connection: Connection, dag_id: str, first: datetime, last: datetime) -> BackfillRow | None:
    """An open backfill of that DAG that has a date between ``first`` and ``last``, both included."""
    statement = select(*_COLUMNS).where(
        _OPEN, backfill.c.dag_id == dag_id, backfill.c.from_date <= last, backfill.c.to_date >= first
    )
    row = connection.execute(statement.order_by(backfill.c.id).limit(1)).first()
    return None if row is None else backfill_row(row)


def newest_ids(connection: Connection, *, limit: int = 100) -> list[int]:
    """The ids of the newest backfills, for a suggestion."""
    return list(connection.scalars(select(backfill.c.id).order_by(backfill.c.id.desc()).limit(limit)))


# --- the dates of a backfill -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenDate:
    """A run that has a date, or the run id, that a backfill wants."""

    id: int
    run_id: str
    state: RunState
    logical_date: datetime | None


def taken_dates(connection: Connection, dag_id: str, first: datetime, last: datetime) -> dict[datetime, TakenDate]:
    """The runs of a DAG with a logical date between ``first`` and ``last``, both included, by that date."""
    statement = select(*columns_of(TakenDate, dag_run)).where(
        dag_run.c.dag_id == dag_id, dag_run.c.logical_date >= first, dag_run.c.logical_date <= last
    )
    return {row.logical_date: _taken(row) for row in connection.execute(statement)}


def taken_ids(connection: Connection, dag_id: str, run_ids: Collection[str]) -> dict[str, TakenDate]:
    """The runs of a DAG that have one of these run ids, by it."""
    statement = select(*columns_of(TakenDate, dag_run)).where(
        dag_run.c.dag_id == dag_id, dag_run.c.run_id.in_(list(run_ids))
    )
    return {row.run_id: _taken(row) for row in connection.execute(statement)}


def _taken(row: Row[Any]) -> TakenDate:
    values = dict(row._mapping)
    return TakenDate(**{**values, "state": RunState(values["state"])})


def note_progress(connection: Connection, ident: int, *, cursor: datetime | None, runs: int, is_settled: bool) -> None:
    """Note how far the making of runs has come.

    :param cursor: the logical date dealt with last.
    :param runs: how many runs came to the backfill since it was noted last.
    """
    values = {"cursor": cursor, "run_count": backfill.c.run_count + runs, "is_settled": is_settled}
    connection.execute(update(backfill).where(backfill.c.id == ident).values(**values))


def note_settled(connection: Connection, ident: int) -> None:
    """Note that no run of a backfill is to be made or taken back any more."""
    connection.execute(update(backfill).where(backfill.c.id == ident).values(is_settled=True))


def adopt_runs(connection: Connection, ids: Collection[int], backfill_id: int, conf: dict[str, Any]) -> None:
    """Let runs that were there before belong to a backfill: their tasks go after those of live runs.

    :param conf: their new configuration; empty leaves what they have.
    """
    if not ids:
        return
    values: dict[str, Any] = {"backfill_id": backfill_id, **({"conf": conf} if conf else {})}
    connection.execute(update(dag_run).where(dag_run.c.id.in_(sorted(ids))).values(**values))
    of_them = task_instance.c.dag_run_id.in_(sorted(ids))
    connection.execute(update(task_instance).where(of_them).values(lane=LANE))


def delete_runs(connection: Connection, ids: Collection[int]) -> None:
    """Delete runs that nothing has been done for."""
    connection.execute(delete(dag_run).where(dag_run.c.id.in_(list(ids))))


# --- what its runs do ------------------------------------------------------------------------------------------------

_QUEUED = (dag_run.c.state == lit(RunState.QUEUED), dag_run.c.backfill_id.is_not(None))

# One look at the index for each backfill that has queued runs, however many there are: DISTINCT would read them all.
_WAITING = text(
    "WITH RECURSIVE waiting(id) AS ("
    "SELECT min(backfill_id) FROM dag_run WHERE state = 'queued' AND backfill_id IS NOT NULL UNION ALL "
    "SELECT (SELECT min(backfill_id) FROM dag_run WHERE state = 'queued' AND backfill_id IS NOT NULL "
    "AND backfill_id > waiting.id) FROM waiting WHERE waiting.id IS NOT NULL) "
    "SELECT waiting.id FROM waiting WHERE waiting.id IS NOT NULL"
)
_OF_UNPAUSED_DAGS = (
    select(backfill.c.id, backfill.c.dag_id, backfill.c.state, backfill.c.is_settled)
    .join(dag, dag.c.dag_id == backfill.c.dag_id)
    .where(backfill.c.id.in_(bindparam("ids", expanding=True)), ~dag.c.is_paused)
    .order_by(backfill.c.id)
)


def backfills_with_queued_runs(connection: Connection) -> dict[int, str]:
    """The backfills of unpaused DAGs whose queued runs may begin, with their DAG, oldest first.

    One that is over is among them when a person cleared a run of it: nothing bounds such a run but its DAG.
    """
    ids = [row.id for row in connection.execute(_WAITING)]
    if not ids:
        return {}
    found = connection.execute(_OF_UNPAUSED_DAGS, {"ids": ids})
    return {row.id: row.dag_id for row in found if row.is_settled and row.state != BackfillState.PAUSED}


def _in_turn(statement: Select[Any], run_backwards: bool) -> Select[Any]:
    key = dag_run.c.logical_date
    return statement.order_by(key.desc() if run_backwards else key)


def queued_of_backfill(connection: Connection, ident: int, *, run_backwards: bool, limit: int) -> list[int]:
    """The queued runs of a backfill whose turn is next."""
    statement = select(dag_run.c.id).where(*_QUEUED, dag_run.c.backfill_id == ident)
    return list(connection.scalars(_in_turn(statement, run_backwards).limit(limit)))


def failed_of_backfill(
    connection: Connection, ident: int, *, after: datetime | None, limit: int
) -> list[tuple[int, datetime]]:
    """The row ids and logical dates of failed runs of a backfill, ascending by date.

    :param after: the date that the page before ended with.
    """
    statement = select(dag_run.c.id, dag_run.c.logical_date).where(
        dag_run.c.state == lit(RunState.FAILED), dag_run.c.backfill_id.is_not(None), dag_run.c.backfill_id == ident
    )
    if after is not None:
        statement = statement.where(dag_run.c.logical_date > after)
    found = connection.execute(statement.order_by(dag_run.c.logical_date).limit(limit))
    return [(row.id, row.logical_date) for row in found]


def first_runs(
    connection: Connection, ident: int, *, run_backwards: bool, limit: int
) -> list[tuple[RunState, datetime | None]]:
    """The state and end of the runs of a backfill that come first."""
    statement = select(dag_run.c.state, dag_run.c.end_date).where(
        dag_run.c.backfill_id.is_not(None), dag_run.c.backfill_id == ident
    )
    found = connection.execute(_in_turn(statement, run_backwards).limit(limit))
    return [(RunState(row.state), row.end_date) for row in found]


_COUNTS = (
    select(dag_run.c.state, func.count().label("runs"))
    .where(dag_run.c.backfill_id.is_not(None), dag_run.c.backfill_id == bindparam("ident"))
    .where(dag_run.c.state == bindparam("state"))
    .group_by(dag_run.c.state)
)


def count_runs(connection: Connection, ident: int, state: RunState) -> int:
    """How many runs of a backfill are in a state."""
    row = connection.execute(_COUNTS, {"ident": ident, "state": state.value}).first()
    return 0 if row is None else int(row.runs)


def count_failed_since(connection: Connection, ident: int, since: datetime | None) -> int:
    """How many runs of a backfill failed after an instant, or ever when it is None."""
    if since is None:
        return count_runs(connection, ident, RunState.FAILED)
    counted = func.count(case((dag_run.c.end_date > since, 1)))
    statement = select(counted).where(
        dag_run.c.state == lit(RunState.FAILED), dag_run.c.backfill_id.is_not(None), dag_run.c.backfill_id == ident
    )
    return int(connection.execute(statement).scalar_one())


def lock_queued_runs(connection: Connection, ident: int, *, limit: int) -> list[RunRow]:
    """Hold some queued runs of a backfill."""
    ids = queued_of_backfill(connection, ident, run_backwards=False, limit=limit)
    statement = select(*columns_of(RunRow, dag_run)).where(dag_run.c.id.in_(ids)).order_by(dag_run.c.id)
    return [run_row(row) for row in connection.execute(statement.with_for_update())]


def started_first(connection: Connection, ident: int, *, run_backwards: bool) -> datetime | None:
    """When the first run of a backfill began, or None."""
    statement = select(dag_run.c.start_date).where(dag_run.c.backfill_id.is_not(None), dag_run.c.backfill_id == ident)
    return connection.execute(_in_turn(statement, run_backwards).limit(1)).scalar_one_or_none()


def running_runs(connection: Connection, ident: int) -> list[tuple[str, datetime | None]]:
    """The runs of a backfill that run: their run ids and since when."""
    statement = select(dag_run.c.run_id, dag_run.c.start_date).where(
        dag_run.c.state == lit(RunState.RUNNING), dag_run.c.backfill_id.is_not(None), dag_run.c.backfill_id == ident
    )
    return [(row.run_id, row.start_date) for row in connection.execute(statement.order_by(dag_run.c.logical_date))]
