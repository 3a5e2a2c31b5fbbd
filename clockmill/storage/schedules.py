"""The next tick of each DAG: which DAGs are due, and what comes after."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from clockmill.clock import iso
from clockmill.storage.conditions import ACTIVE_RUN
from clockmill.storage.rows import columns_of
from clockmill.storage.tables import dag, dag_run, dag_ticks
from clockmill.timetables import Tick, TickList

#: A list of ticks whose time is over is made anew after this long, also when its DAG is paused.
_OLD = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)


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


def set_next_tick(connection: Connection, dag_id: str, tick: Tick | None) -> None:
    """Note the tick that comes next, or that none does."""
    connection.execute(update(dag).where(dag.c.dag_id == dag_id).values(**next_tick_columns(tick)))


def next_tick_columns(tick: Tick | None) -> dict[str, Any]:
    """What the columns of the next tick hold for ``tick``."""
    if tick is None:
        return {"next_tick": None, "next_run_after": None}
    return {"next_tick": tick.to_dict(), "next_run_after": tick.run_after}


# --- ticks that are stored because nobody but the parsing process may ask for them --------------------------------


def save_ticks(connection: Connection, dag_id: str, ticks: TickList, at: datetime) -> None:
    """Store the ticks of a DAG, in place of those that were."""
    values = ticks.to_json()
    forget_ticks(connection, [dag_id])
    connection.execute(
        insert(dag_ticks).values(
            dag_id=dag_id,
            ticks=values["ticks"],
            is_complete=ticks.is_complete,
            refill_at=ticks.refill_at,
            computed_at=at,
        )
    )


def forget_ticks(connection: Connection, dag_ids: Collection[str]) -> None:
    """Forget the stored ticks of DAGs whose timetable can be asked."""
    if dag_ids:
        connection.execute(delete(dag_ticks).where(dag_ticks.c.dag_id.in_(sorted(dag_ids))))


def stored_ticks(connection: Connection, dag_id: str) -> TickList | None:
    """The stored ticks of a DAG, or None when there are none."""
    row = connection.execute(
        select(dag_ticks.c.ticks, dag_ticks.c.is_complete, dag_ticks.c.refill_at).where(dag_ticks.c.dag_id == dag_id)
    ).first()
    if row is None:
        return None
    return TickList(ticks=tuple(map(Tick.from_dict, row.ticks)), is_complete=row.is_complete, refill_at=row.refill_at)


def next_tick_of(connection: Connection, dag_id: str) -> Tick | None:
    """The next tick of a DAG."""
    found = connection.scalar(select(dag.c.next_tick).where(dag.c.dag_id == dag_id))
    return None if found is None else Tick.from_dict(found)


def short_of_ticks(connection: Connection, now: datetime) -> list[tuple[str, str]]:
    """The files, with their sources, of active DAGs that have used up most of their stored ticks, or all."""
    used_up = or_(dag.c.next_run_after.is_(None), dag.c.next_run_after > dag_ticks.c.refill_at)
    is_old = (dag_ticks.c.refill_at <= now) & (dag_ticks.c.computed_at <= now - _OLD)
    statement = (
        select(dag.c.source, dag.c.file)
        .join(dag_ticks, dag_ticks.c.dag_id == dag.c.dag_id)
        .where(dag.c.is_active, dag_ticks.c.refill_at.is_not(None), or_(used_up, is_old))
        .distinct()
    )
    return [(row.source, row.file) for row in connection.execute(statement)]


def tick_positions(connection: Connection, source: str, files: Collection[str]) -> dict[str, dict[str, str]]:
    """How far the DAGs of files have come, by file and id, as ISO 8601 text: before their next tick, or at the last
    stored one when they have used up all."""
    statement = (
        select(dag.c.dag_id, dag.c.file, dag.c.next_run_after, dag_ticks.c.ticks)
        .outerjoin(dag_ticks, dag_ticks.c.dag_id == dag.c.dag_id)
        .where(dag.c.source == source, or_(dag.c.next_run_after.is_not(None), dag_ticks.c.dag_id.is_not(None)))
    )
    found: dict[str, dict[str, str]] = {}
    for row in connection.execute(statement):
        if row.file in files and (row.next_run_after or row.ticks):
            position = iso(row.next_run_after - _MICROSECOND) if row.next_run_after else row.ticks[-1]["run_after"]
            found.setdefault(row.file, {})[row.dag_id] = position
    return found


def idle_dags(connection: Connection, schedule: str) -> list[tuple[str, int]]:
    """The active, unpaused DAGs of a schedule that have no active run and no next tick, with their version."""
    busy = select(dag_run.c.id).where(dag_run.c.dag_id == dag.c.dag_id, ACTIVE_RUN).exists()
    statement = (
        select(dag.c.dag_id, dag.c.version_id)
        .where(dag.c.schedule == schedule, dag.c.next_run_after.is_(None), dag.c.is_active, ~dag.c.is_paused, ~busy)
        .order_by(dag.c.dag_id)
    )
    return [(row.dag_id, row.version_id) for row in connection.execute(statement) if row.version_id is not None]
