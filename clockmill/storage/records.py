"""The rows that services work on, as plain records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clockmill.state import AttemptState, RunEnding, RunState, RunType, TaskKey, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A DAG run; see the table ``dag_run``."""

    id: int
    dag_id: str
    run_id: str
    version_id: int
    state: RunState
    run_type: RunType
    logical_date: datetime | None
    run_after: datetime
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    conf: dict[str, Any]
    queued_at: datetime
    start_date: datetime | None
    end_date: datetime | None
    deadline_at: datetime | None
    max_active_tasks: int
    revision: int
    ending: RunEnding | None
    reason: str
    note: str
    backfill_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMove:
    """A run as it is written: every column that changes while it lives."""

    id: int
    old: RunState
    new: RunState
    revision: int
    version_id: int
    start_date: datetime | None
    end_date: datetime | None
    deadline_at: datetime | None
    ending: RunEnding | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A task instance; see the table ``task_instance``."""

    id: int
    dag_run_id: int
    task_id: str
    scope: str
    map_index: int
    item: int
    label: str
    state: TaskState
    try_number: int
    max_tries: int
    crashes: int
    revision: int
    due_at: datetime | None
    reschedules: int
    first_start: datetime | None
    resume: dict[str, Any] | None
    priority: int
    lane: int
    pool: str
    pool_slots: int
    max_active_per_dag: int | None
    max_active_per_run: int | None
    executor: str
    queue: str
    resources: str | None
    cut_short: bool
    leaves_out: list[str] | None
    scheduled_at: datetime | None
    start_date: datetime | None
    end_date: datetime | None
    reason: str

    @property
    def key(self) -> TaskKey:
        """What tells it from the other task instances of its run."""
        return TaskKey(self.task_id, self.map_index, self.scope)

    @property
    def name(self) -> str:
        """What people call it: its task, and which instance of it when there are several."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task instance to be made; the rest of its columns have defaults."""

    task_id: str
    max_tries: int
    priority: int
    pool: str
    pool_slots: int
    executor: str
    queue: str
    resources: str | None
    max_active_per_dag: int | None
    max_active_per_run: int | None
    lane: int = 0
    scope: str = ""
    map_index: int = -1
    item: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """An attempt of a task instance or of a callback; see the table ``attempt``."""

    id: str
    task_instance_id: int | None
    callback_id: int | None
    dag_run_id: int
    try_number: int
    state: AttemptState
    token: str
    executor: str
    queue: str
    supervisor_id: str | None
    claimed_at: datetime | None
    started_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """What is written when an attempt is over."""

    id: str
    token: str
    old: AttemptState
    new: AttemptState
    started_at: datetime | None
    ended_at: datetime
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    peak_memory_kb: int | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class XComValue:
    """A value that a successful try leaves behind; ``value`` is JSON text."""

    task_instance_id: int
    dag_run_id: int
    task_id: str
    map_index: int
    try_number: int
    key: str
    value: str
    length: int | None
