"""Attempts, as they are made, claimed, stopped and ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, update

from clockmill.state import AttemptState
from clockmill.storage.batches import Columns, update_rows
from clockmill.storage.records import AttemptEnd
from clockmill.storage.rows import values_of
from clockmill.storage.tables import attempt
from clockmill.storage.transitions.legality import check


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttempt:
    """An attempt to be made: claimed at once for a supervisor with a free slot, or offered to a broker.

    It is one of a task instance or of a callback.

    :param supervisor_id: who has it; None for an offer.
    """

    id: str
    task_instance_id: int | None
    dag_run_id: int
    try_number: int
    token: str
    executor: str
    queue: str
    supervisor_id: str | None
    pool: str
    pool_slots: int
    queued_at: datetime
    callback_id: int | None = None
    resources: str | None = None


def create_attempts(connection: Connection, attempts: Sequence[NewAttempt]) -> None:
    """Insert live attempts; the database refuses a second one for the same task instance."""
    rows = []
    for new in attempts:
        state = AttemptState.QUEUED if new.supervisor_id is None else AttemptState.RUNNING
        claimed_at = None if new.supervisor_id is None else new.queued_at
        values = values_of(new)
        rows.append({**values, "state": state.value, "claimed_at": claimed_at})
    if rows:
        connection.execute(insert(attempt), rows)


_CLAIM_COLUMNS: Columns = (
    ("id", "text"),
    ("token", "text"),
    ("state", "text"),
    ("supervisor_id", "text"),
    ("claimed_at", "bigint"),
)


def claim_attempts(
    connection: Connection, supervisor_id: str, claims: Iterable[tuple[str, str]], now: datetime, *, asking: bool
) -> set[str]:
    """Give offered attempts to a supervisor; of several that claim one, only the first gets it.

    :param claims: ``(attempt id, token)``.
    :param asking: whether also those that ask for resources, which it is known to have.
    :returns: the ids of those that it got.
    """
    running = AttemptState.RUNNING.value
    rows = [
        {"id": ident, "token": token, "state": running, "supervisor_id": supervisor_id, "claimed_at": now}
        for ident, token in claims
    ]
    condition = f"attempt.state = '{AttemptState.QUEUED}' AND attempt.token = v.token"
    if not asking:
        condition += " AND attempt.resources IS NULL"
    return update_rows(connection, "attempt", _CLAIM_COLUMNS, ("state", "supervisor_id", "claimed_at"), condition, rows)


_END_COLUMNS: Columns = (
    ("id", "text"),
    ("token", "text"),
    ("old", "text"),
    ("state", "text"),
    ("started_at", "bigint"),
    ("ended_at", "bigint"),
    ("exit_code", "integer"),
    ("signal", "integer"),
    ("reason", "text"),
    ("peak_memory_kb", "integer"),
    ("cpu_seconds", "double precision"),
)
_END_ASSIGNED = tuple(name for name, _ in _END_COLUMNS if name not in {"id", "old", "token"})


def end_attempts(connection: Connection, ends: Iterable[AttemptEnd]) -> set[str]:
    """End attempts; returns the ids that were ended, each exactly once ever."""
    rows = []
    for end in ends:
        check("attempt", end.id, end.old, end.new)
        rows.append({**values_of(end), "state": end.new})
    condition = "attempt.state = v.old AND attempt.token = v.token"
    return update_rows(connection, "attempt", _END_COLUMNS, _END_ASSIGNED, condition, rows)


def stop_attempts(connection: Connection, task_instance_ids: Iterable[int]) -> list[str]:
    """Ask for the live attempts of task instances to be stopped; returns their ids.

    A stopping attempt keeps its slots and bars the next one until its supervisor says that its processes are gone.
    """
    live = (AttemptState.QUEUED.value, AttemptState.RUNNING.value)
    statement = (
        update(attempt)
        .where(attempt.c.task_instance_id.in_(list(task_instance_ids)), attempt.c.state.in_(live))
        .values(state=AttemptState.STOPPING.value)
        .returning(attempt.c.id)
    )
    return [row.id for row in connection.execute(statement)]
