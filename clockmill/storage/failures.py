"""How many runs of a DAG failed one after another, and why it was paused."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, Integer, String, bindparam, select

from clockmill.events import EventKind
from clockmill.state import RunState
from clockmill.storage.conditions import FINISHED_RUN
from clockmill.storage.tables import dag, dag_run, event

_NEWEST_OVER = (
    select(dag_run.c.run_id, dag_run.c.state, dag_run.c.end_date)
    .where(dag_run.c.dag_id == bindparam("dag_id", type_=String), FINISHED_RUN, dag_run.c.backfill_id.is_(None))
    .order_by(dag_run.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_NEWEST_EVENT = (
    select(event.c.at, event.c.detail)
    .where(
        event.c.dag_id == bindparam("dag_id", type_=String),
        event.c.run_id.is_(None),
        event.c.kind == bindparam("kind", type_=String),
    )
    .order_by(event.c.id.desc())
    .limit(1)
)
_LIMITS = select(dag.c.dag_id, dag.c.max_consecutive_failed).where(
    dag.c.dag_id.in_(bindparam("dag_ids", expanding=True)), dag.c.max_consecutive_failed > 0, ~dag.c.is_paused
)


def failure_limits(connection: Connection, dag_ids: Collection[str]) -> dict[str, int]:
    """Those of these DAGs that have ``max_consecutive_failed_dag_runs`` and are not paused, with that number."""
    return {row[0]: row[1] for row in connection.execute(_LIMITS, {"dag_ids": sorted(dag_ids)})}


def why_paused(connection: Connection, dag_id: str) -> str:
    """Why a DAG was paused by itself; empty when a person did it."""
    row = connection.execute(_NEWEST_EVENT, {"dag_id": dag_id, "kind": EventKind.DAG_PAUSED.value}).first()
    return "" if row is None else str(row.detail.get("reason", ""))


def failed_in_a_row(connection: Connection, dag_id: str, limit: int) -> list[str]:
    """The newest runs that are over, as far as they failed since the DAG was last unpaused.

    Those of a backfill do not count: it has limits of its own, and the past says nothing about the next live run.
    """
    unpaused = connection.execute(_NEWEST_EVENT, {"dag_id": dag_id, "kind": EventKind.DAG_UNPAUSED.value}).first()
    found = []
    for row in connection.execute(_NEWEST_OVER, {"dag_id": dag_id, "most": limit}):
        if row.state != RunState.FAILED or (unpaused is not None and row.end_date <= unpaused.at):
            break
        found.append(row.run_id)
    return found
