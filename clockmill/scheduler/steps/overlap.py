"""What becomes of a scheduled run that is due while another run of its DAG is active."""

from __future__ import annotations

from datetime import datetime

from clockmill.actions.aggregate import RunAggregate
from clockmill.clock import iso
from clockmill.events import EventKind
from clockmill.model.arguments import Overlap
from clockmill.scheduler.workspace import Effects
from clockmill.serde import Document
from clockmill.state import RunEnding, RunState, RunType
from clockmill.storage.engine import Connection
from clockmill.storage.overlaps import ActiveRun, active_beside_backfills
from clockmill.storage.records import RunRow
from clockmill.storage.runs import load_tasks, lock_runs
from clockmill.timetables import Tick


def is_left_out(connection: Connection, document: Document, tick: Tick, now: datetime, effects: Effects) -> bool:
    """Whether the DAG's overlap policy leaves out the run of a due tick; an event says why.

    With catch-up, a tick that was missed before the active run was made did not come while that one was active.
    """
    if document.overlap != Overlap.SKIP:
        return False
    active = active_beside_backfills(connection, document.dag_id)
    if document.catchup:
        active = [run for run in active if run.queued_at < tick.run_after]
    if not active:
        return False
    why = f"overlap=skip: the run {active[0].run_id} is still {active[0].state}"
    first = iso(tick.run_after)
    effects.tell(EventKind.TICKS_DROPPED, now, dag_id=document.dag_id, count=1, first=first, last=first, why=why)
    return True


def cancel_older(connection: Connection, document: Document, run_id: str, now: datetime, effects: Effects) -> None:
    """End the older scheduled runs when the DAG's overlap policy says so.

    One that waits ends here. One that runs is given a reason and no more time: it ends with its tasks like a run that
    takes too long, and the new one begins once they are gone.

    :param run_id: of the run that is due, whose row is not made yet.
    """
    if document.overlap != Overlap.CANCEL:
        return
    active = [run for run in active_beside_backfills(connection, document.dag_id) if _is_scheduled(run)]
    reason = f"overlap=cancel: the run {run_id} is due"
    for row in lock_runs(connection, [run.id for run in active]):
        if row.state is RunState.QUEUED:
            _end_queued(connection, row, reason, now)
            effects.tell(EventKind.RUN_STATE, now, row, state=RunState.FAILED, reason=reason)
        elif row.state is RunState.RUNNING:
            aggregate = RunAggregate(row, ())
            aggregate.change_run(deadline_at=now, ending=RunEnding.OVERLAP, reason=reason)
            aggregate.flush(connection)


def _is_scheduled(run: ActiveRun) -> bool:
    return run.run_type is RunType.SCHEDULED


def _end_queued(connection: Connection, row: RunRow, reason: str, now: datetime) -> None:
    aggregate = RunAggregate(row, load_tasks(connection, row.id))
    aggregate.give_up(now, reason, RunEnding.OVERLAP)
    aggregate.flush(connection)
