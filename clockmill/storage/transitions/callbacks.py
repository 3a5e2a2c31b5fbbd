"""Calls of authors' functions, as they are ordered and end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from clockmill.state import CallbackState
from clockmill.storage.rows import values_of
from clockmill.storage.tables import callback
from clockmill.storage.transitions.legality import check


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCallback:
    """A call of an author's function, to be made by a task process of its own.

    :param kind: which function: ``on_failure_callback``, ``deadline:0`` and so on.
    :param context: what it is told beside the run.
    """

    dag_run_id: int
    task_instance_id: int | None
    kind: str
    context: dict[str, Any]
    created_at: datetime


def create_callbacks(connection: Connection, callbacks: Sequence[NewCallback]) -> None:
    """Insert pending callbacks."""
    rows = [{**values_of(new), "state": CallbackState.PENDING.value} for new in callbacks]
    if rows:
        connection.execute(insert(callback), rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackMove:
    """A pending callback as it is written after an attempt.

    :param ended_at: None while it stays pending.
    """

    id: int
    new: CallbackState
    crashes: int
    reason: str
    ended_at: datetime | None


def move_callbacks(connection: Connection, moves: Iterable[CallbackMove]) -> None:
    """Write what an attempt made of pending callbacks."""
    pending = CallbackState.PENDING
    for move in moves:
        if move.new is not pending:
            check("callback", move.id, pending, move.new)
        connection.execute(
            update(callback)
            .where(callback.c.id == move.id, callback.c.state == pending.value)
            .values(state=move.new.value, crashes=move.crashes, reason=move.reason, ended_at=move.ended_at)
        )
