"""What a run has beside its tasks, for its pages: deadlines, calls of authors' functions, triggers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from clockmill.state import TaskKey, TaskState
from clockmill.storage.rows import columns_of
from clockmill.storage.run_pages import ATTEMPT_COLUMNS, ATTEMPT_SOURCE, AttemptLine
from clockmill.storage.tables import attempt, callback, deadline, task_instance, task_trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineLine:
    """A deadline of a run or of one of its tasks.

    :param task_id: the task that it is for; None for the whole run.
    """

    id: int
    task_id: str | None
    name: str
    due_at: datetime
    warned_at: datetime | None
    missed_at: datetime | None
    met_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackLine:
    """A call of an author's function that had a process of its own, or waits for one.

    :param task_id: the task that it tells of; None for the run.
    """

    id: int
    task_id: str | None
    map_index: int | None
    kind: str
    state: str
    crashes: int
    reason: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitLine:
    """What a deferred task instance waits for."""

    task_instance_id: int
    class_path: str
    created_at: datetime
    timeout_at: datetime | None
    fired_at: datetime | None

    @property
    def kind(self) -> str:
        """The name of the class of its trigger."""
        return self.class_path.rpartition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBrief:
    """A task instance with little more than its state, so that many are read at once."""

    id: int
    task_id: str
    scope: str
    map_index: int
    state: TaskState
    leaves_out: list[str] | None

    @property
    def key(self) -> TaskKey:
        """What tells it from the other task instances of its run."""
        return TaskKey(self.task_id, self.map_index, self.scope)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


_BRIEFS = (
    select(*columns_of(TaskBrief, task_instance))
    .where(task_instance.c.dag_run_id == bindparam("run"))
    .order_by(task_instance.c.id)
)
_DEADLINES = (
    select(
        deadline.c.id,
        task_instance.c.task_id,
        deadline.c.name,
        deadline.c.due_at,
        deadline.c.warned_at,
        deadline.c.missed_at,
        deadline.c.met_at,
    )
    .outerjoin(task_instance, task_instance.c.id == deadline.c.task_instance_id)
    .order_by(deadline.c.due_at, deadline.c.id)
)
_CALLBACKS = (
    select(
        callback.c.id,
        task_instance.c.task_id,
        task_instance.c.map_index,
        callback.c.kind,
        callback.c.state,
        callback.c.crashes,
        callback.c.reason,
        callback.c.created_at,
        callback.c.ended_at,
    )
    .outerjoin(task_instance, task_instance.c.id == callback.c.task_instance_id)
    .order_by(callback.c.id.desc())
)


def task_briefs(connection: Connection, dag_run_id: int) -> list[TaskBrief]:
    """Every task instance of a run, in the order in which they were made."""
    return [
        TaskBrief(id=row[0], task_id=row[1], scope=row[2], map_index=row[3], state=TaskState(row[4]), leaves_out=row[5])
        for row in connection.execute(_BRIEFS, {"run": dag_run_id})
    ]


def list_deadlines(
    connection: Connection, dag_run_id: int, *, task_id: str | None = None, limit: int = 100
) -> list[DeadlineLine]:
    """Deadlines of a run and its tasks, the first due first.

    :param task_id: only those of this task.
    """
    statement = _DEADLINES.where(deadline.c.dag_run_id == dag_run_id)
    if task_id is not None:
        statement = statement.where(task_instance.c.task_id == task_id)
    return [DeadlineLine(**row._mapping) for row in connection.execute(statement.limit(limit))]


def list_callbacks(
    connection: Connection,
    dag_run_id: int,
    *,
    task_instance_id: int | None = None,
    ident: int | None = None,
    limit: int = 50,
) -> list[CallbackLine]:
    """Calls that a run has led to, newest first.

    :param task_instance_id: only those that tell of this task instance.
    :param ident: only this one.
    """
    if task_instance_id is not None:
        statement = _CALLBACKS.where(callback.c.task_instance_id == task_instance_id)
    else:
        statement = _CALLBACKS.where(callback.c.dag_run_id == dag_run_id)
    if ident is not None:
        statement = statement.where(callback.c.id == ident)
    return [CallbackLine(**row._mapping) for row in connection.execute(statement.limit(limit))]


def attempts_of_callback(connection: Connection, callback_id: int) -> list[AttemptLine]:
    """The attempts to make a call, oldest first."""
    statement = (
        select(*ATTEMPT_COLUMNS)
        .select_from(ATTEMPT_SOURCE)
        .where(attempt.c.callback_id.is_not(None), attempt.c.callback_id == callback_id)
        .order_by(attempt.c.id)
    )
    return [AttemptLine(**row._mapping) for row in connection.execute(statement)]


def waits_of(connection: Connection, tasks: Collection[int]) -> dict[int, WaitLine]:
    """What these task instances wait for; one that waits for no trigger is left out."""
    if not tasks:
        return {}
    statement = select(*columns_of(WaitLine, task_trigger)).where(task_trigger.c.task_instance_id.in_(sorted(tasks)))
    return {row.task_instance_id: WaitLine(**row._mapping) for row in connection.execute(statement)}
