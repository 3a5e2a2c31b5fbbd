"""The tasks of a run as lists show them: one line a task, however many instances it has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from clockmill.state import FINISHED_TASK_STATES, TaskState
from clockmill.storage.records import TaskRow
from clockmill.storage.runs import TASK_COLUMNS, task_row
from clockmill.storage.tables import task_instance

#: Of several instances, the first of these states that one of them is in stands for all.
_TELLING = (
    TaskState.RUNNING,
    TaskState.RESTARTING,
    TaskState.QUEUED,
    TaskState.SCHEDULED,
    TaskState.UP_FOR_RETRY,
    TaskState.UP_FOR_RESCHEDULE,
    TaskState.DEFERRED,
    TaskState.NONE,
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
    TaskState.SUCCESS,
    TaskState.SKIPPED,
    TaskState.REMOVED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedLine:
    """All instances of a mapped task.

    :param id: the lowest row id among them.
    :param counts: how many are in each state, in the order in which they are told.
    :param end_date: when the last one ended; None while one is not finished.
    """

    id: int
    task_id: str
    counts: dict[TaskState, int]
    start_date: datetime | None
    end_date: datetime | None

    @property
    def total(self) -> int:
        """How many instances there are."""
        return sum(self.counts.values())

    @property
    def state(self) -> TaskState:
        """The state that stands for all: of what goes on, else the worst."""
        return next(iter(self.counts))

    @property
    def summary(self) -> str:
        """``9990 success, 10 failed``."""
        return ", ".join(f"{number} {state}" for state, number in self.counts.items())


TaskLine = TaskRow | MappedLine


def list_lines(
    connection: Connection, dag_run_id: int, *, states: Collection[str] = (), after: int = 0, limit: int = 500
) -> list[TaskLine]:
    """The tasks of a run in the order in which they were made.

    :param states: only those in one of these states, or with an instance in one; all when empty.
    :param after: the last row id of the page before.
    """
    lines: list[TaskLine] = [*_plain(connection, dag_run_id, states, after, limit)]
    lines += [
        line
        for line in _mapped(connection, dag_run_id)
        if line.id > after and (not states or not line.counts.keys().isdisjoint(states))
    ]
    return sorted(lines, key=lambda line: line.id)[:limit]


def lines_named(connection: Connection, dag_run_id: int, task_ids: Collection[str], *, limit: int) -> list[TaskLine]:
    """The lines of some tasks of a run, in the order in which they were made."""
    statement = _plain_tasks(dag_run_id).where(task_instance.c.task_id.in_(sorted(task_ids))).limit(limit)
    lines: list[TaskLine] = [task_row(row) for row in connection.execute(statement)]
    lines += _mapped(connection, dag_run_id, task_ids)
    return sorted(lines, key=lambda line: line.id)[:limit]


def list_instances(
    connection: Connection, dag_run_id: int, task_id: str, *, state: str = "", after: int = -2, limit: int = 500
) -> list[TaskRow]:
    """The instances of one task by map index.

    :param state: only those in this state; all when empty.
    :param after: the last map index of the page before.
    """
    statement = select(*TASK_COLUMNS).where(
        task_instance.c.dag_run_id == dag_run_id,
        task_instance.c.task_id == task_id,
        task_instance.c.map_index > after,
    )
    if state:
        statement = statement.where(task_instance.c.state == state)
    statement = statement.order_by(task_instance.c.map_index, task_instance.c.scope).limit(limit)
    return [task_row(row) for row in connection.execute(statement)]


def _plain_tasks(dag_run_id: int) -> Select[Any]:
    return (
        select(*TASK_COLUMNS)
        .where(task_instance.c.dag_run_id == dag_run_id, task_instance.c.map_index < 0)
        .order_by(task_instance.c.id)
    )


def _plain(
    connection: Connection, dag_run_id: int, states: Collection[str], after: int, limit: int
) -> Iterable[TaskRow]:
    statement = _plain_tasks(dag_run_id).where(task_instance.c.id > after).limit(limit)
    if states:
        statement = statement.where(task_instance.c.state.in_(sorted(states)))
    return [task_row(row) for row in connection.execute(statement)]


def _mapped(connection: Connection, dag_run_id: int, task_ids: Collection[str] | None = None) -> list[MappedLine]:
    columns = task_instance.c
    statement = (
        select(
            columns.task_id,
            columns.state,
            func.count().label("number"),
            func.min(columns.id).label("id"),
            func.min(columns.start_date).label("start_date"),
            func.max(columns.end_date).label("end_date"),
        )
        .where(columns.dag_run_id == dag_run_id, columns.map_index >= 0)
        .group_by(columns.task_id, columns.state)
    )
    if task_ids is not None:
        statement = statement.where(columns.task_id.in_(sorted(task_ids)))
    by_task: dict[str, dict[TaskState, Row[Any]]] = defaultdict(dict)
    for row in connection.execute(statement):
        by_task[row.task_id][TaskState(row.state)] = row
    return [_folded(task_id, rows) for task_id, rows in by_task.items()]


def _folded(task_id: str, rows: dict[TaskState, Row[Any]]) -> MappedLine:
    starts = [row.start_date for row in rows.values() if row.start_date is not None]
    ends = [row.end_date for row in rows.values() if row.end_date is not None]
    return MappedLine(
        id=min(row.id for row in rows.values()),
        task_id=task_id,
        counts={state: rows[state].number for state in _TELLING if state in rows},
        start_date=min(starts, default=None),
        end_date=max(ends, default=None) if rows.keys() <= FINISHED_TASK_STATES else None,
    )
