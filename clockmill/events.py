"""The vocabulary of the event log: what happened, to what, by whom.

Attempt rows hold the time of each phase of a task; an event row holds everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """What an event tells."""

    TICKS_DROPPED = "ticks_dropped"  #: due ticks that the catch-up policy leaves out
    RUN_CREATED = "run_created"
    RUN_STATE = "run_state"  #: a run went to another state
    RUN_NOTE = "run_note"  #: a person wrote or changed the note of a run
    TASK_RETRY = "task_retry"
    ATTEMPT_LOST = "attempt_lost"
    BACKFILL_CREATED = "backfill_created"
    BACKFILL_STATE = "backfill_state"  #: a backfill was paused, resumed, cancelled, or is over
    CALLBACK_FAILED = "callback_failed"  #: a call of an author's function that no task process made by itself
    DEADLINE_MISSED = "deadline_missed"
    DEADLINE_WARNING = "deadline_warning"  #: by its usual time, a run or task will miss its deadline
    DAG_VERSION = "dag_version"
    DAG_PAUSED = "dag_paused"
    DAG_UNPAUSED = "dag_unpaused"
    DAG_DELETED = "dag_deleted"
    DAG_DEACTIVATED = "dag_deactivated"
    TASKS_CLEARED = "tasks_cleared"
    TASKS_MARKED = "tasks_marked"
    RUN_MARKED = "run_marked"
    RUN_STOPPED = "run_stopped"
    POOL_CHANGED = "pool_changed"
    VARIABLE_CHANGED = "variable_changed"
    CONNECTION_CHANGED = "connection_changed"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened.

    :param at: when, aware, UTC.
    :param actor: who did it: ``scheduler``, ``dag-processor``, ``cli:NAME``, ``web``.
    :param detail: what a person wants to read of it; values that JSON knows.
    """

    kind: EventKind
    at: datetime
    actor: str
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)
