"""The only writer of state columns.

Each change is a compare-and-set: it names the state that it leaves, and an attempt also its token. An id that does
not come back has lost. The legality of a move comes from ``state.TRANSITIONS``; nothing here decides anything.
"""

from clockmill.storage.transitions.attempts import (
    NewAttempt,
    claim_attempts,
    create_attempts,
    end_attempts,
    stop_attempts,
)
from clockmill.storage.transitions.backfills import NewBackfill, create_backfill, move_backfill
from clockmill.storage.transitions.callbacks import CallbackMove, NewCallback, create_callbacks, move_callbacks
from clockmill.storage.transitions.legality import IllegalTransition
from clockmill.storage.transitions.runs import (
    NewRun,
    add_tasks,
    create_run,
    create_runs,
    move_runs,
    move_tasks,
)

__all__ = [
    "CallbackMove",
    "IllegalTransition",
    "NewAttempt",
    "NewBackfill",
    "NewCallback",
    "NewRun",
    "add_tasks",
    "claim_attempts",
    "create_attempts",
    "create_backfill",
    "create_callbacks",
    "create_run",
    "create_runs",
    "end_attempts",
    "move_backfill",
    "move_callbacks",
    "move_runs",
    "move_tasks",
    "stop_attempts",
]
