"""Backfills, as they are made and moved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from clockmill.state import BackfillState
from clockmill.storage.rows import values_of
from clockmill.storage.tables import backfill
from clockmill.storage.transitions.legality import check


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackfill:
    """A backfill to be made in state ``running``; see the table ``backfill``."""

    dag_id: str
    from_date: datetime
    to_date: datetime
    max_active_runs: int | None
    run_backwards: bool
    reprocess_behavior: str
    task_regex: str
    conf: dict[str, Any]
    canary: int | None
    stop_at: str
    created_at: datetime
    created_by: str


def create_backfill(connection: Connection, new: NewBackfill) -> int:
    """Insert a backfill whose runs the scheduler is to make; returns its id."""
    values = {**values_of(new), "state": BackfillState.RUNNING.value}
    ident: int = connection.execute(insert(backfill).values(**values).returning(backfill.c.id)).scalar_one()
    return ident


def move_backfill(
    connection: Connection,
    ident: int,
    old: BackfillState,
    new: BackfillState,
    *,
    reason: str = "",
    **changes: datetime | bool | None,
) -> bool:
    """Send a backfill to another state.

    :param changes: new values of ``ended_at``, ``resumed_at``, ``is_settled``.
    :returns: whether it was in the state that it should have left.
    """
    check("backfill", ident, old, new)
    statement = (
        update(backfill)
        .where(backfill.c.id == ident, backfill.c.state == old.value)
        .values(state=new.value, reason=reason, **changes)
    )
    return bool(connection.execute(statement).rowcount)
