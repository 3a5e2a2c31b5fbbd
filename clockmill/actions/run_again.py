"""Let a finished run run again, all of it, inside a transaction of the caller."""

from __future__ import annotations

from datetime import datetime

from clockmill.actions.clear import clear_tasks
from clockmill.events import Event, EventKind
from clockmill.serde import decode
from clockmill.state import FINISHED_RUN_STATES, TaskState
from clockmill.storage.engine import Connection
from clockmill.storage.events import append
from clockmill.storage.runs import load_tasks, lock_runs
from clockmill.storage.versions import version


def run_again(connection: Connection, dag_run_id: int, now: datetime, *, actor: str) -> bool:
    """Clear every task of a run; a run that is not finished is left alone. Returns whether it was cleared."""
    held = lock_runs(connection, [dag_run_id])
    if not held or held[0].state not in FINISHED_RUN_STATES:
        return False
    run = held[0]
    document = decode(version(connection, run.version_id).document)
    keys = [row.key for row in load_tasks(connection, run.id) if row.state is not TaskState.REMOVED]
    clear_tasks(connection, run, keys, document, now)
    detail = {"tasks": sorted({key.task_id for key in keys})}
    event = Event(
        kind=EventKind.TASKS_CLEARED, at=now, actor=actor, dag_id=run.dag_id, run_id=run.run_id, detail=detail
    )
    append(connection, [event])
    return True
