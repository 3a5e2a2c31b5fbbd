"""Let queued runs begin, as many of each DAG as its ``max_active_runs`` allows."""

from __future__ import annotations

from datetime import datetime

from clockmill.scheduler.views import RunView
from clockmill.state import RunState
from clockmill.storage.dags import lock_dags
from clockmill.storage.engine import Connection
from clockmill.storage.runs import dags_with_queued_runs, oldest_queued, running_count


def runs_to_start(connection: Connection) -> list[int]:
    """Queued runs that may begin now; the rows of their DAGs are held, so that nobody starts others meanwhile."""
    loads = dags_with_queued_runs(connection)
    if not loads:
        return []
    lock_dags(connection, [load.dag_id for load in loads])
    chosen: list[int] = []
    for load in loads:
        room = load.max_active_runs - running_count(connection, load.dag_id)
        if room > 0:
            chosen += oldest_queued(connection, load.dag_id, room)
    return chosen


def start_run(view: RunView, now: datetime) -> None:
    """Let one run begin; its time-out counts from here."""
    if view.run.state is not RunState.QUEUED:
        return
    timeout = view.plan.dagrun_timeout
    view.aggregate.change_run(
        state=RunState.RUNNING, start_date=now, deadline_at=None if timeout is None else now + timeout
    )
