"""The states of runs, task instances and attempts, and the only moves between them.

The names are Airflow's. "No state yet" is a member of its own, never None.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class RunState(StrEnum):
    """Where a DAG run stands."""

    QUEUED = "queued"  #: created, waits for ``max_active_runs``
    RUNNING = "running"  #: its tasks are being worked on
    SUCCESS = "success"  #: every task is finished and no leaf failed
    FAILED = "failed"  #: every task is finished and a leaf failed, or the run was timed out or marked


class TaskState(StrEnum):
    """Where a task instance stands."""

    NONE = "none"  #: nothing decided yet: waits for upstream tasks
    REMOVED = "removed"  #: no longer part of the DAG version that its run is pinned to
    SCHEDULED = "scheduled"  #: its dependencies are met; waits for a slot
    QUEUED = "queued"  #: admitted: an attempt was offered to an executor
    RUNNING = "running"  #: a supervisor has the attempt
    SUCCESS = "success"  #: finished well
    RESTARTING = "restarting"  #: cleared while an attempt of it was live: that one is being stopped
    FAILED = "failed"  #: finished badly, no try left
    UP_FOR_RETRY = "up_for_retry"  #: failed, the next try is due later
    UP_FOR_RESCHEDULE = "up_for_reschedule"  #: a sensor that looks again later
    UPSTREAM_FAILED = "upstream_failed"  #: cannot run, because a task above failed
    SKIPPED = "skipped"  #: left out by a branch, a short circuit, a rule or itself
    DEFERRED = "deferred"  #: waits for a trigger, without a slot


class AttemptState(StrEnum):
    """Where one execution stands."""

    QUEUED = "queued"  #: committed and offered, not yet claimed
    RUNNING = "running"  #: claimed by a supervisor
    STOPPING = "stopping"  #: asked to stop; keeps its slots until its processes are gone
    SUCCESS = "success"  #: the user's code ended well, XComs committed
    FAILED = "failed"  #: the user's code failed: exception, exit code, timeout
    SKIPPED = "skipped"  #: the task chose to be skipped
    LOST = "lost"  #: died by no doing of the user's code or ours: spends the crash budget
    STOPPED = "stopped"  #: stopped because a person cleared, marked or stopped the task
    RELEASED = "released"  #: given back by a supervisor that shut down: spends nothing
    DEFERRED = "deferred"  #: handed over to a trigger; the same try goes on in a later attempt
    RESCHEDULED = "rescheduled"  #: a sensor that looks again later; the same try goes on in a later attempt


class RunType(StrEnum):
    """Why a run exists."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    BACKFILL = "backfill"
    ASSET_TRIGGERED = "asset_triggered"
    OPERATOR_TRIGGERED = "operator_triggered"


class RunEnding(StrEnum):
    """Why a run is ended, or was, before its tasks came to their own end."""

    STOPPED = "stopped"  #: a person stopped it
    MARKED = "marked"  #: a person marked it failed
    OVERLAP = "overlap"  #: the next run is due, and ``overlap="cancel"`` wants that one in its place
    TIMEOUT = "dagrun_timeout"  #: it took longer than its ``dagrun_timeout``
    FAIL_FAST = "fail_fast"  #: one of its tasks failed, and ``fail_fast`` wants no others after that
    BACKFILL = "backfill"  #: a person cancelled its backfill before it began


class Outcome(StrEnum):
    """How a supervisor says that an attempt ended; each is also the attempt state that it leads to."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"
    LOST = "lost"
    STOPPED = "stopped"
    RELEASED = "released"
    DEFERRED = "deferred"
    RESCHEDULED = "rescheduled"


class BackfillState(StrEnum):
    """Where a backfill stands."""

    RUNNING = "running"  #: its runs are being made and worked on
    PAUSED = "paused"  #: a person, its canary or its limit of failures holds back what is left
    SUCCESS = "success"  #: all of its runs succeeded
    FAILED = "failed"  #: all of its runs are over and one failed
    CANCELLED = "cancelled"  #: a person ended it; runs that had begun were left to finish


class CallbackState(StrEnum):
    """Where a call of an author's function stands, that no task process makes by itself."""

    PENDING = "pending"  #: waits for a slot, or its attempt is under way
    SUCCESS = "success"  #: the function returned
    FAILED = "failed"  #: the function raised, or its attempts were lost too often


T, R, A, B, C = TaskState, RunState, AttemptState, BackfillState, CallbackState

#: A finished task instance changes only when a person clears or marks it.
FINISHED_TASK_STATES = frozenset({T.SUCCESS, T.FAILED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED})
FAILED_TASK_STATES = frozenset({T.FAILED, T.UPSTREAM_FAILED})
#: Done, and nobody has to mend anything: the next run may follow, a deadline is met.
GOOD_TASK_STATES = frozenset({T.SUCCESS, T.SKIPPED})
#: An attempt of it is live, and what that one reports counts.
AT_WORK_TASK_STATES = frozenset({T.QUEUED, T.RUNNING})
#: An attempt of it is live, be it only to be stopped.
BUSY_TASK_STATES = AT_WORK_TASK_STATES | {T.RESTARTING}
#: It has begun a try that is not over.
BEGUN_TASK_STATES = BUSY_TASK_STATES | {T.DEFERRED, T.UP_FOR_RESCHEDULE}
#: Where it stands once it was cleared, until it is decided about again.
CLEARED_TASK_STATES = frozenset({T.NONE, T.RESTARTING})
FINISHED_RUN_STATES = frozenset({R.SUCCESS, R.FAILED})
ACTIVE_RUN_STATES = frozenset({R.QUEUED, R.RUNNING})
#: A live attempt holds its slots and bars another attempt of its task instance.
LIVE_ATTEMPT_STATES = frozenset({A.QUEUED, A.RUNNING, A.STOPPING})
#: After these, the same try goes on later.
UNFINISHED_OUTCOMES = frozenset({Outcome.DEFERRED, Outcome.RESCHEDULED})
#: What the user's code pushed and asked for counts.
KEPT_OUTCOMES = UNFINISHED_OUTCOMES | {Outcome.SUCCESS}
#: Nothing went wrong.
GOOD_OUTCOMES = KEPT_OUTCOMES | {Outcome.SKIPPED}
#: What a task process may say of itself: it cannot give itself back, or be lost; those are told by others.
OWN_OUTCOMES = frozenset(Outcome) - {Outcome.LOST, Outcome.RELEASED}
#: A backfill that still has something to do, now or once it is resumed.
OPEN_BACKFILL_STATES = frozenset({B.RUNNING, B.PAUSED})

#: What a person may say of a task, or of a run.
MARKS = (T.SUCCESS, T.FAILED, T.SKIPPED)
_MARKS = frozenset(MARKS)
_CLEARED = frozenset({T.NONE})
_GONE = frozenset({T.REMOVED})
#: A finished task instance that is cleared while an attempt of it, which counts no more, is still being stopped.
_STOPPED_LATER = frozenset({T.RESTARTING})
_ENDS = frozenset(
    {
        T.SUCCESS,
        T.FAILED,
        T.SKIPPED,
        T.UP_FOR_RETRY,
        T.UP_FOR_RESCHEDULE,
        T.DEFERRED,
        T.SCHEDULED,
        T.RESTARTING,
    }
)

TASK_TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    T.NONE: _MARKS | _GONE | {T.SCHEDULED, T.UPSTREAM_FAILED},
    T.SCHEDULED: _MARKS | _CLEARED | _GONE | {T.QUEUED, T.RUNNING, T.UPSTREAM_FAILED},
    T.QUEUED: _ENDS | _GONE | {T.RUNNING},
    T.RUNNING: _ENDS | _GONE,
    T.RESTARTING: _MARKS | _CLEARED | _GONE | {T.SCHEDULED, T.UPSTREAM_FAILED},
    T.UP_FOR_RETRY: _MARKS | _CLEARED | _GONE | {T.SCHEDULED},
    T.UP_FOR_RESCHEDULE: _MARKS | _CLEARED | _GONE | {T.SCHEDULED},
    T.DEFERRED: _MARKS | _CLEARED | _GONE | {T.SCHEDULED, T.UP_FOR_RETRY},
    T.SUCCESS: _MARKS - {T.SUCCESS} | _CLEARED | _GONE | _STOPPED_LATER,
    T.FAILED: _MARKS - {T.FAILED} | _CLEARED | _GONE | _STOPPED_LATER,
    T.SKIPPED: _MARKS - {T.SKIPPED} | _CLEARED | _GONE | _STOPPED_LATER,
    T.UPSTREAM_FAILED: _MARKS | _CLEARED | _GONE | _STOPPED_LATER,
    T.REMOVED: _CLEARED | {T.SCHEDULED, T.SKIPPED, T.SUCCESS, T.UPSTREAM_FAILED},
}

RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    R.QUEUED: frozenset({R.RUNNING, R.SUCCESS, R.FAILED}),
    R.RUNNING: frozenset({R.SUCCESS, R.FAILED, R.QUEUED}),
    R.SUCCESS: frozenset({R.QUEUED, R.FAILED}),
    R.FAILED: frozenset({R.QUEUED, R.SUCCESS}),
}

ATTEMPT_TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    A.QUEUED: frozenset({A.RUNNING, A.STOPPING, A.STOPPED, A.LOST, A.RELEASED}),
    A.RUNNING: frozenset(A) - {A.QUEUED, A.RUNNING},
    A.STOPPING: frozenset({A.STOPPED, A.LOST}),
    A.SUCCESS: frozenset(),
    A.FAILED: frozenset(),
    A.SKIPPED: frozenset(),
    A.LOST: frozenset(),
    A.STOPPED: frozenset(),
    A.RELEASED: frozenset(),
    A.DEFERRED: frozenset(),
    A.RESCHEDULED: frozenset(),
}

BACKFILL_TRANSITIONS: dict[BackfillState, frozenset[BackfillState]] = {
    B.RUNNING: frozenset({B.PAUSED, B.SUCCESS, B.FAILED, B.CANCELLED}),
    B.PAUSED: frozenset({B.RUNNING, B.CANCELLED}),
    B.SUCCESS: frozenset(),
    B.FAILED: frozenset(),
    B.CANCELLED: frozenset(),
}

CALLBACK_TRANSITIONS: dict[CallbackState, frozenset[CallbackState]] = {
    C.PENDING: frozenset({C.SUCCESS, C.FAILED}),
    C.SUCCESS: frozenset(),
    C.FAILED: frozenset(),
}

#: The one table of legal moves, for the code, the database, the docs and the tests alike.
TRANSITIONS: Mapping[type[StrEnum], Mapping[Any, frozenset[Any]]] = {
    RunState: RUN_TRANSITIONS,
    TaskState: TASK_TRANSITIONS,
    AttemptState: ATTEMPT_TRANSITIONS,
    BackfillState: BACKFILL_TRANSITIONS,
    CallbackState: CALLBACK_TRANSITIONS,
}


def is_legal(old: StrEnum, new: StrEnum) -> bool:
    """Whether the table allows the move from ``old`` to ``new``."""
    return new in TRANSITIONS[type(old)][old]
