"""What a person may do with a DAG as a whole: pause it, let it go on, delete it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from clockmill.clock import Clock
from clockmill.errors import Conflict
from clockmill.events import Event, EventKind
from clockmill.storage import dags
from clockmill.storage.attempts import live_attempts_of_runs
from clockmill.storage.engine import Connection, Database
from clockmill.storage.events import append
from clockmill.storage.failures import failed_in_a_row, failure_limits
from clockmill.storage.runs import active_runs
from clockmill.storage.versions import dag_state


def set_paused(database: Database, clock: Clock, dag_id: str, *, paused: bool, actor: str) -> bool:
    """Pause a DAG, or let it go on; returns whether that changed anything. The caller wakes the scheduler.

    A paused DAG begins no run and no task; what runs is left to finish.

    :raises NotFound: when there is no such DAG.
    """

    def work(connection: Connection) -> bool:
        if dag_state(connection, dag_id).is_paused == paused:
            return False
        dags.set_paused_flag(connection, dag_id, paused=paused)
        kind = EventKind.DAG_PAUSED if paused else EventKind.DAG_UNPAUSED
        append(connection, [Event(kind=kind, at=clock.now(), actor=actor, dag_id=dag_id)])
        return True

    return database.write(work)


def pause_failing(connection: Connection, dag_ids: Collection[str], *, at: datetime, actor: str) -> set[str]:
    """Pause those of these DAGs whose newest runs failed, as many as ``max_consecutive_failed_dag_runs`` says.

    The caller holds the rows of the DAGs. Runs count in the order in which they were made, those that are over alone,
    and since the DAG was last unpaused: who unpauses it gives it all of its chances again.

    :returns: the DAGs that were paused.
    """
    paused = set()
    for dag_id, limit in failure_limits(connection, dag_ids).items():
        runs = failed_in_a_row(connection, dag_id, limit)
        if len(runs) >= limit:
            dags.set_paused_flag(connection, dag_id, paused=True)
            detail = {
                "reason": f"max_consecutive_failed_dag_runs={limit}: the newest runs failed: {', '.join(runs[:10])}"
            }
            append(connection, [Event(kind=EventKind.DAG_PAUSED, at=at, actor=actor, dag_id=dag_id, detail=detail)])
            paused.add(dag_id)
    return paused


def delete_dag(database: Database, clock: Clock, dag_id: str, *, actor: str) -> None:
    """Delete a DAG with all of its runs; while its file is there, it comes back without them.

    :raises NotFound: when there is no such DAG.
    :raises Conflict: when tasks of it are running.
    """

    def work(connection: Connection) -> None:
        dag_state(connection, dag_id)  # refuses a DAG that is not there
        dags.lock_dags(connection, [dag_id])
        live = live_attempts_of_runs(connection, [run.id for run in active_runs(connection, dag_id)])
        if live:
            raise Conflict(f"{len(live)} tasks of DAG {dag_id!r} are running; wait for them or clear them first.")
        dags.delete_rows(connection, dag_id)
        append(connection, [Event(kind=EventKind.DAG_DELETED, at=clock.now(), actor=actor, dag_id=dag_id)])

    database.write(work)
