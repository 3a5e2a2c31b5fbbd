"""The event log: append, and read back a page at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, insert, select

from clockmill.events import Event
from clockmill.storage.paging import page_newest_first
from clockmill.storage.tables import event


def append(connection: Connection, events: Iterable[Event]) -> None:
    """Add events to the log, in their order."""
    rows = [
        {
            "at": each.at,
            "kind": each.kind.value,
            "actor": each.actor,
            "dag_id": each.dag_id,
            "run_id": each.run_id,
            "task_id": each.task_id,
            "map_index": each.map_index,
            "detail": each.detail,
        }
        for each in events
    ]
    if rows:
        connection.execute(insert(event), rows)


def list_events(
    connection: Connection,
    *,
    dag_id: str | None = None,
    run_id: str | None = None,
    task_id: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """A page of the log, newest first: ``id at kind actor dag_id run_id task_id map_index detail``.

    :param run_id: only events of that run of ``dag_id``.
    :param task_id: only events of that task.
    :param before: the ``id`` of the last event of the page before; None for the first page.
    """
    statement = select(event)
    if dag_id is not None:
        statement = statement.where(event.c.dag_id == dag_id)
    if run_id is not None:
        statement = statement.where(event.c.run_id == run_id)
    if task_id is not None:
        statement = statement.where(event.c.task_id == task_id)
    return [dict(row._mapping) for row in connection.execute(page_newest_first(statement, event.c.id, before, limit))]
