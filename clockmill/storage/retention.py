"""Deleting what has been kept long enough, a batch at a time, so that nobody waits for it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select

from clockmill.storage.tables import event


def prune_events(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete the oldest events from before an instant; returns how many went.

    Ids ascend with time, so a look at the ``limit`` lowest is enough, and costs the same when none is old.
    """
    oldest = select(event.c.id, event.c.at).order_by(event.c.id).limit(limit)
    found = [row.id for row in connection.execute(oldest) if row.at < before]
    if found:
        connection.execute(delete(event).where(event.c.id <= found[-1], event.c.at < before))
    return len(found)
