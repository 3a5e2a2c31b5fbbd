"""What a person may do with a backfill that is there: pause, resume, cancel."""

from __future__ import annotations

from datetime import datetime

from clockmill.actions.backfill_progress import step_of
from clockmill.actions.backfill_runs import repeat_failed
from clockmill.clock import Clock
from clockmill.errors import Conflict, NotFound
from clockmill.events import Event, EventKind
from clockmill.state import OPEN_BACKFILL_STATES, BackfillState
from clockmill.storage.backfills import (
    BackfillRow,
    failed_of_backfill,
    find_backfill,
    lock_backfills,
    newest_ids,
)
from clockmill.storage.dags import lock_dags
from clockmill.storage.engine import Connection, Database
from clockmill.storage.events import append
from clockmill.storage.transitions import move_backfill

#: Failed runs that are sent back to the queue in one transaction.
_BATCH = 25


def the_backfill(connection: Connection, ident: int) -> BackfillRow:
    """The backfill with that id.

    :raises NotFound: when there is none.
    """
    row = find_backfill(connection, ident)
    if row is None:
        raise NotFound("backfill", str(ident), map(str, newest_ids(connection)))
    return row


def pause_backfill(database: Database, clock: Clock, ident: int, *, actor: str) -> BackfillRow:
    """Let no new run of a backfill begin; what runs goes on. One that is paused stays as it is.

    :raises NotFound: when there is no such backfill.
    :raises Conflict: when it is over.
    """
    now = clock.now()

    def work(connection: Connection) -> BackfillRow:
        row = hold_backfill(connection, ident)
        _refuse_over(row)
        if row.state is BackfillState.RUNNING:
            move(connection, row, BackfillState.PAUSED, now, actor=actor, reason=f"paused by {actor}")
        return the_backfill(connection, ident)

    return database.write(work)


def resume_backfill(
    database: Database, clock: Clock, ident: int, *, actor: str, rerun_failed: bool = False
) -> BackfillRow:
    """Let a backfill go on with what is left; what succeeded is never run again. The caller wakes the scheduler.

    Failures that would hold it back again at once count no more: the person has seen them.

    :param rerun_failed: run its failed runs again, too: of each, the tasks that did not succeed.
    :raises NotFound: when there is no such backfill.
    :raises Conflict: when it is over.
    """
    now = clock.now()
    if rerun_failed:
        _repeat_all(database, ident, now, actor)

    def work(connection: Connection) -> BackfillRow:
        row = hold_backfill(connection, ident)
        _refuse_over(row)
        if row.state is BackfillState.PAUSED:
            forgiven = now if step_of(connection, row).pause else row.resumed_at
            move(connection, row, BackfillState.RUNNING, now, actor=actor, resumed_at=forgiven)
        return the_backfill(connection, ident)

    return database.write(work)


def cancel_backfill(database: Database, clock: Clock, ident: int, *, actor: str) -> BackfillRow:
    """End a backfill: what runs is left to finish, what waits never begins. The caller wakes the scheduler.

    One that is cancelled stays as it is.

    :raises NotFound: when there is no such backfill.
    :raises Conflict: when it is over in another way.
    """
    now = clock.now()

    def work(connection: Connection) -> BackfillRow:
        row = hold_backfill(connection, ident)
        if row.state is not BackfillState.CANCELLED:
            _refuse_over(row)
            reason = f"cancelled by {actor}"
            cancelled = BackfillState.CANCELLED
            move(connection, row, cancelled, now, actor=actor, reason=reason, ended_at=now, is_settled=False)
        return the_backfill(connection, ident)

    return database.write(work)


def hold_backfill(connection: Connection, ident: int) -> BackfillRow:
    """Hold the row of a backfill, and before it that of its DAG, so that no run of it begins meanwhile.

    :raises NotFound: when there is none.
    """
    lock_dags(connection, [the_backfill(connection, ident).dag_id])
    held = lock_backfills(connection, [ident])
    if not held:
        raise NotFound("backfill", str(ident))
    return held[0]


def move(
    connection: Connection,
    row: BackfillRow,
    new: BackfillState,
    now: datetime,
    *,
    actor: str,
    reason: str = "",
    **changes: datetime | bool | None,
) -> None:
    """Send a backfill whose row is held to another state, with an event that tells it."""
    if not move_backfill(connection, row.id, row.state, new, reason=reason, **changes):
        raise Conflict(f"The backfill {row.id} changed in between.")
    detail = {"backfill": row.id, "state": new.value, "reason": reason}
    append(connection, [Event(kind=EventKind.BACKFILL_STATE, at=now, actor=actor, dag_id=row.dag_id, detail=detail)])


def _refuse_over(row: BackfillRow) -> None:
    if row.state not in OPEN_BACKFILL_STATES:
        raise Conflict(f"The backfill {row.id} is over: {row.state}.")


def _repeat_all(database: Database, ident: int, now: datetime, actor: str) -> None:
    """Send the failed runs of a backfill back to the queue, a few in each transaction, so that nobody waits long."""
    after: datetime | None = None

    def work(connection: Connection) -> datetime | None:
        row = hold_backfill(connection, ident)
        _refuse_over(row)
        some = failed_of_backfill(connection, ident, after=after, limit=_BATCH)
        repeat_failed(connection, row, [run for run, _ in some], now, actor=actor)
        return some[-1][1] if some else None

    while (reached := database.write(work)) is not None:
        after = reached
