"""What the pages of one run and one task read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from clockmill.storage.records import TaskRow
from clockmill.storage.runs import TASK_COLUMNS, task_row
from clockmill.storage.tables import attempt, supervisor, task_instance, xcom


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLine:
    """An attempt as a page shows it: without its token.

    :param worker: the worker or the supervisor that has or had it.
    :param host: the machine of that.
    """

    id: str
    try_number: int
    state: str
    executor: str
    resources: str | None
    queued_at: datetime
    claimed_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    signal: int | None
    reason: str
    peak_memory_kb: int | None
    cpu_seconds: float | None
    worker: str | None
    host: str | None


#: Where attempt lines are read from, and as what.
ATTEMPT_SOURCE = attempt.outerjoin(supervisor, supervisor.c.id == attempt.c.supervisor_id)
ATTEMPT_COLUMNS = [
    *(attempt.c[name] for name in AttemptLine.__slots__ if name not in ("worker", "host")),
    attempt.c.supervisor_id.label("worker"),
    supervisor.c.host,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class XComLine:
    """An XCom as a page shows it; ``value`` is the beginning of its JSON text, ``size`` the length of all of it."""

    key: str
    value: str
    size: int
    created_at: datetime


def find_task(connection: Connection, dag_run_id: int, task_id: str, map_index: int | None) -> TaskRow | None:
    """One task instance; the first of a mapped task when ``map_index`` is None; None when there is none."""
    statement = select(*TASK_COLUMNS).where(
        task_instance.c.dag_run_id == dag_run_id, task_instance.c.task_id == task_id
    )
    if map_index is not None:
        statement = statement.where(task_instance.c.map_index == map_index)
    row = connection.execute(statement.order_by(task_instance.c.map_index).limit(1)).first()
    return None if row is None else task_row(row)


def count_instances(connection: Connection, dag_run_id: int, task_id: str) -> int:
    """How many instances a mapped task has; 0 when it is not mapped, or not expanded yet."""
    statement = select(func.count()).where(
        task_instance.c.dag_run_id == dag_run_id, task_instance.c.task_id == task_id, task_instance.c.map_index >= 0
    )
    return connection.execute(statement).scalar_one()


def count_states(connection: Connection, dag_run_id: int) -> dict[str, int]:
    """How many task instances of a run are in each state."""
    statement = select(task_instance.c.state, func.count()).where(task_instance.c.dag_run_id == dag_run_id)
    return {row[0]: row[1] for row in connection.execute(statement.group_by(task_instance.c.state))}


def list_attempts(connection: Connection, task_instance_id: int, *, newest: int | None = None) -> list[AttemptLine]:
    """The attempts of a task instance, oldest first.

    :param newest: only so many of them, the newest; all when None.
    """
    statement = (
        select(*ATTEMPT_COLUMNS)
        .select_from(ATTEMPT_SOURCE)
        .where(attempt.c.task_instance_id == task_instance_id)
        .order_by(attempt.c.id.desc())
        .limit(newest)
    )
    return [AttemptLine(**row._mapping) for row in connection.execute(statement)][::-1]


def list_xcoms(connection: Connection, task_instance_id: int, *, shown_chars: int) -> list[XComLine]:
    """The XComs that the successful try of a task instance left, by key.

    :param shown_chars: how many characters of each value are read.
    """
    statement = (
        select(
            xcom.c.key,
            func.substr(xcom.c.value, 1, shown_chars).label("value"),
            func.length(xcom.c.value).label("size"),
            xcom.c.created_at,
        )
        .where(xcom.c.task_instance_id == task_instance_id)
        .order_by(xcom.c.key)
    )
    return [XComLine(**row._mapping) for row in connection.execute(statement)]
