"""What lists and pages of backfills read: small answers, paged by key."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from clockmill.state import RunState
from clockmill.storage.backfills import BackfillRow, backfill_row
from clockmill.storage.pages import RunLine
from clockmill.storage.paging import page_newest_first
from clockmill.storage.rows import columns_of
from clockmill.storage.tables import backfill, dag_run


def list_backfills(
    connection: Connection,
    *,
    dag_id: str | None = None,
    states: Collection[str] = (),
    before: int | None = None,
    limit: int = 25,
) -> list[BackfillRow]:
    """Backfills, newest first.

    :param dag_id: only those of this DAG.
    :param states: only those in one of these states; all when empty.
    :param before: the last id of the page before.
    """
    statement = select(*columns_of(BackfillRow, backfill))
    if dag_id is not None:
        statement = statement.where(backfill.c.dag_id == dag_id)
    if states:
        statement = statement.where(backfill.c.state.in_(sorted(states)))
    found = connection.execute(page_newest_first(statement, backfill.c.id, before, limit))
    return [backfill_row(row) for row in found]


def count_states(connection: Connection, ids: Collection[int]) -> dict[int, dict[RunState, int]]:
    """How many runs of each of these backfills are in each state."""
    statement = (
        select(dag_run.c.backfill_id, dag_run.c.state, func.count())
        .where(dag_run.c.backfill_id.is_not(None), dag_run.c.backfill_id.in_(sorted(ids)))
        .where(dag_run.c.state.in_([state.value for state in RunState]))
        .group_by(dag_run.c.backfill_id, dag_run.c.state)
    )
    counts = {ident: dict.fromkeys(RunState, 0) for ident in ids}
    for ident, state, number in connection.execute(statement):
        counts[ident][RunState(state)] = number
    return counts


def list_runs_of(
    connection: Connection, ident: int, *, state: str = "", before: int | None = None, limit: int = 25
) -> list[RunLine]:
    """Runs of a backfill, those made last first.

    :param state: only runs in that state; all when empty.
    :param before: the last row id of the page before.
    """
    statement = select(*columns_of(RunLine, dag_run)).where(
        dag_run.c.backfill_id.is_not(None), dag_run.c.backfill_id == ident
    )
    if state:
        statement = statement.where(dag_run.c.state == state)
    found = connection.execute(page_newest_first(statement, dag_run.c.id, before, limit))
    return [RunLine(**row._mapping) for row in found]
