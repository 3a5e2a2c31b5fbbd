"""Pure decisions: states and their legal moves, trigger rules, retries, admission, the outcome of a run.

Nothing here opens a session, reads a clock or does I/O. Every verdict carries a reason that a person can read.
"""

from clockmill.state.admission import Admission, Candidate, LimitKey, LimitKind, Refusal, admit
from clockmill.state.expansion import Expansion
from clockmill.state.graph import Graph, MappedGroup, Node, TaskKey, ancestors, cut, descendants, left_out_by
from clockmill.state.past import PAST_IS_DONE, PastRule, PastVerdict, judge_past
from clockmill.state.progress import Change, Placed, Progress, Step
from clockmill.state.retry import Backoff, Budget, NextStep, after_attempt
from clockmill.state.rules import Decision, TriggerRule, UpstreamCounts, Verdict, judge
from clockmill.state.states import (
    ACTIVE_RUN_STATES,
    FAILED_TASK_STATES,
    FINISHED_RUN_STATES,
    FINISHED_TASK_STATES,
    LIVE_ATTEMPT_STATES,
    MARKS,
    OPEN_BACKFILL_STATES,
    TRANSITIONS,
    AttemptState,
    BackfillState,
    CallbackState,
    Outcome,
    RunEnding,
    RunState,
    RunType,
    TaskState,
    is_legal,
)

__all__ = [
    "ACTIVE_RUN_STATES",
    "FAILED_TASK_STATES",
    "FINISHED_RUN_STATES",
    "FINISHED_TASK_STATES",
    "LIVE_ATTEMPT_STATES",
    "MARKS",
    "OPEN_BACKFILL_STATES",
    "PAST_IS_DONE",
    "TRANSITIONS",
    "Admission",
    "AttemptState",
    "BackfillState",
    "Backoff",
    "Budget",
    "CallbackState",
    "Candidate",
    "Change",
    "Decision",
    "Expansion",
    "Graph",
    "LimitKey",
    "LimitKind",
    "MappedGroup",
    "NextStep",
    "Node",
    "Outcome",
    "PastRule",
    "PastVerdict",
    "Placed",
    "Progress",
    "Refusal",
    "RunEnding",
    "RunState",
    "RunType",
    "Step",
    "TaskKey",
    "TaskState",
    "TriggerRule",
    "UpstreamCounts",
    "Verdict",
    "admit",
    "after_attempt",
    "ancestors",
    "cut",
    "descendants",
    "is_legal",
    "judge",
    "judge_past",
    "left_out_by",
]
