"""The next tick of each DAG: which DAGs are due, and what comes after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from clockmill.storage.conditions import ACTIVE_RUN
from clockmill.storage.rows import columns_of
from clockmill.storage.tables import dag, dag_run
from clockmill.timetables import Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDag:
    """A DAG whose next tick is due.

    :param next_tick: ``run_after logical_date start end`` as ISO 8601 text.
    """

    dag_id: str
    version_id: int
    next_tick: dict[str, Any]


def due_dags(connection: Connection, now: datetime, *, limit: int = 100) -> list[DueDag]:
    """The active, unpaused DAGs whose next tick is due, the longest due first."""
    statement = (
        select(*columns_of(DueDag, dag))
        .where(
            dag.c.next_run_after.is_not(None),
            dag.c.next_run_after <= now,
            dag.c.is_active,
            ~dag.c.is_paused,
            dag.c.version_id.is_not(None),
        )
        .order_by(dag.c.next_run_after, dag.c.dag_id)
        .limit(limit)
    )
    return [DueDag(**row._mapping) for row in connection.execute(statement)]


def hold_due_dag(connection: Connection, dag_id: str, now: datetime) -> DueDag | None:
    """Hold the row of a DAG that is still due; None when another scheduler was faster or it was paused."""
    statement = (
        select(*columns_of(DueDag, dag))
        .where(dag.c.dag_id == dag_id, dag.c.next_run_after <= now, dag.c.is_active, ~dag.c.is_paused)
        .with_for_update()
    )
    row = connection.execute(statement).first()
    return None if row is None or row.version_id is None else DueDag(**row._mapping)


def set_next_tick(connection: Connection, dag_id: str, tick: Tick | None, *, due: datetime | None = None) -> None:
    """Note the tick that comes next, or that none does.

    :param due: when the scheduler is to look at it; at its ``run_after`` when None.
    """
    values = next_tick_columns(tick) if due is None else next_tick_columns(tick) | {"next_run_after": due}
    connection.execute(update(dag).where(dag.c.dag_id == dag_id).values(**values))


def next_tick_columns(tick: Tick | None) -> dict[str, Any]:
    """What the columns of the next tick hold for ``tick``."""
    if tick is None:
        return {"next_tick": None, "next_run_after": None}
    return {"next_tick": tick.to_dict(), "next_run_after": tick.run_after}


def idle_dags(connection: Connection, schedule: str) -> list[tuple[str, int]]:
    """The active, unpaused DAGs of a schedule that have no active run and no next tick, with their version."""
    busy = select(dag_run.c.id).where(dag_run.c.dag_id == dag.c.dag_id, ACTIVE_RUN).exists()
    statement = (
        select(dag.c.dag_id, dag.c.version_id)
        .where(dag.c.schedule == schedule, dag.c.next_run_after.is_(None), dag.c.is_active, ~dag.c.is_paused, ~busy)
        .order_by(dag.c.dag_id)
    )
    return [(row.dag_id, row.version_id) for row in connection.execute(statement) if row.version_id is not None]
