"""Let queued runs begin, as many of each DAG as its ``max_active_runs`` allows."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from clockmill.actions.dags import pause_failing
from clockmill.scheduler.steps.backfills import runs_of_backfills, waiting_backfills
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import ACTOR
from clockmill.state import RunState
from clockmill.storage.dags import lock_dags
from clockmill.storage.engine import Connection
from clockmill.storage.overlaps import dags_being_cancelled
from clockmill.storage.runs import dags_with_queued_runs, oldest_queued, running_count


def pause_if_failing(connection: Connection, dag_ids: Collection[str], now: datetime) -> set[str]:
    """Pause DAGs whose newest runs failed too often in a row; returns those that were paused."""
    lock_dags(connection, dag_ids)
    return pause_failing(connection, dag_ids, at=now, actor=ACTOR)


def runs_to_start(connection: Connection, now: datetime, aside: Collection[int] = ()) -> list[int]:
    """Queued runs that may begin now, live ones first, those of backfills in the room that is left.

    The rows of their DAGs are held, so that nobody starts others meanwhile.

    :param aside: runs that cannot be worked on, and that others pass by.
    """
    backfills = waiting_backfills(connection)
    limits = dags_with_queued_runs(connection, backfills)
    if not limits:
        return []
    paused = pause_if_failing(connection, limits, now)  # did its last scheduler die before it could do that?
    chosen: list[int] = []
    held_back = dags_being_cancelled(connection, limits)
    for dag_id, most in limits.items():
        if dag_id in held_back or dag_id in paused:
            continue
        room = most - running_count(connection, dag_id)
        queued = oldest_queued(connection, dag_id, room + len(aside), now) if room > 0 else []
        live = [ident for ident in queued if ident not in aside][: max(room, 0)]
        chosen += live
        if room > len(live) and dag_id in backfills:
            chosen += runs_of_backfills(connection, backfills[dag_id], room - len(live), aside)
    return chosen


def start_run(view: RunView, now: datetime) -> None:
    """Let one run begin; its time-out counts from here."""
    if view.run.state is not RunState.QUEUED:
        return
    timeout = view.plan.dagrun_timeout
    deadline_at = None if timeout is None else now + timeout
    view.aggregate.change_run(state=RunState.RUNNING, start_date=now, deadline_at=deadline_at, reason="")
