"""Deleting what has been kept long enough, a batch at a time, so that nobody waits for it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.tables import attempt, event, supervisor


def prune_events(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete the oldest events from before an instant; returns how many went.

    Ids ascend with time, so a look at the ``limit`` lowest is enough, and costs the same when none is old.
    """
    oldest = select(event.c.id, event.c.at).order_by(event.c.id).limit(limit)
    found = [row.id for row in connection.execute(oldest) if row.at < before]
    if found:
        connection.execute(delete(event).where(event.c.id <= found[-1], event.c.at < before))
    return len(found)


def prune_supervisors(connection: Connection, before: datetime, *, limit: int) -> int:
    """Forget supervisors and workers that are gone since before an instant; returns how many went.

    One whose end has not been told of all its attempts stays.
    """
    holds = select(attempt.c.id).where(LIVE_ATTEMPT, attempt.c.supervisor_id == supervisor.c.id).exists()
    last = func.coalesce(supervisor.c.seen_at, supervisor.c.started_at)
    gone = select(supervisor.c.id).where(~supervisor.c.is_alive, last < before, ~holds).limit(limit)
    found = connection.scalars(gone).all()
    if found:
        # One that was merely silent may have come back since.
        connection.execute(delete(supervisor).where(supervisor.c.id.in_(found), ~supervisor.c.is_alive))
    return len(found)
