"""Calls of authors' functions that no task process makes by itself: what waits, and what it needs to be made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, Row, bindparam, exists, select

from clockmill.state import CallbackState
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.rows import columns_of
from clockmill.storage.tables import attempt, callback, lit


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRow:
    """A call; see the table ``callback``."""

    id: int
    dag_run_id: int
    task_instance_id: int | None
    kind: str
    state: CallbackState
    context: dict[str, Any]
    crashes: int
    reason: str
    created_at: datetime
    ended_at: datetime | None


_COLUMNS = columns_of(CallbackRow, callback)
_ITS_ATTEMPT = (attempt.c.callback_id == callback.c.id, LIVE_ATTEMPT)
_PENDING = (
    select(*_COLUMNS)
    .where(callback.c.state == lit(CallbackState.PENDING), ~exists().where(*_ITS_ATTEMPT))
    .order_by(callback.c.id)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_LIVE = select(attempt.c.callback_id).where(attempt.c.callback_id.in_(bindparam("ids", expanding=True)), LIVE_ATTEMPT)
_BY_ID = select(*_COLUMNS).where(callback.c.id.in_(bindparam("ids", expanding=True))).order_by(callback.c.id)
_OF_RUN = select(*_COLUMNS).where(callback.c.dag_run_id == bindparam("run")).order_by(callback.c.id)


def _record(row: Row[Any]) -> CallbackRow:
    values = dict(row._mapping)
    return CallbackRow(**{**values, "state": CallbackState(values["state"])})


def hold_pending(connection: Connection, limit: int) -> list[CallbackRow]:
    """Calls that have no attempt under way, the oldest first, held so that nobody else begins them."""
    found = [_record(row) for row in connection.execute(_PENDING, {"most": limit})]
    if not found:
        return []
    # Whoever held a row a moment ago may have begun it; only a later statement sees that.
    begun = set(connection.scalars(_LIVE, {"ids": [row.id for row in found]}))
    return [row for row in found if row.id not in begun]


def callbacks_by_id(connection: Connection, ids: Collection[int]) -> dict[int, CallbackRow]:
    """The calls with those ids."""
    return {row.id: _record(row) for row in connection.execute(_BY_ID, {"ids": sorted(ids)})}


def callbacks_of_run(connection: Connection, dag_run_id: int) -> list[CallbackRow]:
    """Every call that a run has led to, in their order."""
    return [_record(row) for row in connection.execute(_OF_RUN, {"run": dag_run_id})]
