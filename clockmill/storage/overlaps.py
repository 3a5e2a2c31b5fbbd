"""Runs of one DAG that would go on at the same time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from clockmill.state import RunEnding, RunState, RunType
from clockmill.storage.conditions import ACTIVE_RUN, FINISHED_RUN, LIVE_ATTEMPT
from clockmill.storage.tables import attempt, dag, dag_run, lit, task_instance


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRun:
    """A run that is queued or running."""

    id: int
    run_id: str
    run_type: RunType
    state: RunState
    queued_at: datetime


_ACTIVE = (
    select(dag_run.c.id, dag_run.c.run_id, dag_run.c.run_type, dag_run.c.state, dag_run.c.queued_at)
    .where(ACTIVE_RUN, dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.backfill_id.is_(None))
    .order_by(dag_run.c.id)
)
_CANCELLING_DAGS = select(dag.c.dag_id).where(
    dag.c.dag_id.in_(bindparam("dag_ids", expanding=True)), dag.c.overlap == "cancel"
)
_BEING_CANCELLED = select(dag_run.c.dag_id).where(
    dag_run.c.state == lit(RunState.RUNNING),
    dag_run.c.dag_id.in_(bindparam("dag_ids", expanding=True)),
    dag_run.c.ending == lit(RunEnding.OVERLAP),
)
_STILL_THERE = (
    select(dag_run.c.dag_id)
    .join(attempt, attempt.c.dag_run_id == dag_run.c.id)
    .where(
        LIVE_ATTEMPT,
        dag_run.c.dag_id.in_(bindparam("dag_ids", expanding=True)),
        FINISHED_RUN,
    )
)


_ENDING = (
    select(dag_run.c.run_id, task_instance.c.task_id, attempt.c.queued_at)
    .join(attempt, attempt.c.dag_run_id == dag_run.c.id)
    .join(task_instance, task_instance.c.id == attempt.c.task_instance_id)
    .where(LIVE_ATTEMPT, dag_run.c.dag_id == bindparam("dag_id"), FINISHED_RUN)
    .order_by(attempt.c.queued_at, attempt.c.id)
)


def active_beside_backfills(connection: Connection, dag_id: str) -> list[ActiveRun]:
    """The queued and running runs of a DAG, oldest first, those of backfills left out."""
    rows = connection.execute(_ACTIVE, {"dag_id": dag_id})
    return [
        ActiveRun(
            id=row.id,
            run_id=row.run_id,
            run_type=RunType(row.run_type),
            state=RunState(row.state),
            queued_at=row.queued_at,
        )
        for row in rows
    ]


def dags_being_cancelled(connection: Connection, dag_ids: Collection[str]) -> set[str]:
    """Those of the DAGs of which a run was cancelled for the next one, while something of it is still running."""
    cancelling = list(connection.scalars(_CANCELLING_DAGS, {"dag_ids": list(dag_ids)}))
    return still_ending(connection, cancelling) if cancelling else set()


def ending_tasks(connection: Connection, dag_id: str) -> list[tuple[str, str, datetime]]:
    """The tasks of a DAG that go on although their runs are over: ``(run id, task id, since)``, oldest first."""
    return [(row.run_id, row.task_id, row.queued_at) for row in connection.execute(_ENDING, {"dag_id": dag_id})]


def still_ending(connection: Connection, dag_ids: Collection[str]) -> set[str]:
    """Those of the DAGs that have a run which is to be cancelled, or a task that goes on although its run is over."""
    found = set(connection.scalars(_BEING_CANCELLED, {"dag_ids": list(dag_ids)}))
    return found | set(connection.scalars(_STILL_THERE, {"dag_ids": list(dag_ids)}))
