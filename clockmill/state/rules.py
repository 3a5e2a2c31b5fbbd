"""The trigger rules: when a task may run, seen from the states of its direct upstream tasks.

Each rule is an ordered list of clauses; the first clause that holds decides, and while none holds the task waits.
The meanings are those of Airflow 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from clockmill.state.states import TaskState


class TriggerRule(StrEnum):
    """What a task asks of its direct upstream tasks."""

    ALL_SUCCESS = "all_success"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    NONE_SKIPPED = "none_skipped"
    ALL_SKIPPED = "all_skipped"
    ALWAYS = "always"


@dataclass(slots=True)
class UpstreamCounts:
    """How many of the ``total`` direct upstream task instances are in each finished state.

    A removed instance is as if it had never been there: it is not in the total.

    :param setups: how many of them are setups; ``setup_success`` and ``setup_skipped``, in which states these are.
    """

    total: int = 0
    success: int = 0
    failed: int = 0
    upstream_failed: int = 0
    skipped: int = 0
    setups: int = 0
    setup_success: int = 0
    setup_skipped: int = 0

    def add(self, state: TaskState, amount: int = 1, *, is_setup: bool = False) -> int:
        """Count ``amount`` more (or fewer) upstream tasks in ``state``; states that are not finished do not count.

        :returns: how many are in that state now; 0 for a state that does not count.
        """
        match state:
            case TaskState.SUCCESS:
                self.success += amount
                self.setup_success += amount * is_setup
                return self.success
            case TaskState.FAILED:
                self.failed += amount
                return self.failed
            case TaskState.UPSTREAM_FAILED:
                self.upstream_failed += amount
                return self.upstream_failed
            case TaskState.SKIPPED:
                self.skipped += amount
                self.setup_skipped += amount * is_setup
                return self.skipped
            case _:
                return 0

    def plus(self, other: UpstreamCounts) -> UpstreamCounts:
        """Both together."""
        return UpstreamCounts(*(getattr(self, name) + getattr(other, name) for name in UpstreamCounts.__slots__))

    @property
    def bad(self) -> int:
        """Failed, themselves or because of a task above."""
        return self.failed + self.upstream_failed

    @property
    def done(self) -> int:
        return self.success + self.bad + self.skipped

    @property
    def all_done(self) -> bool:
        return self.done >= self.total


class Decision(StrEnum):
    """What a rule says."""

    WAIT = "wait"
    RUN = "run"
    SKIP = "skip"
    UPSTREAM_FAILED = "upstream_failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and the reason that a person reads."""

    decision: Decision
    reason: str


@dataclass(frozen=True, slots=True)
class _Clause:
    holds: Callable[[UpstreamCounts], bool]
    decision: Decision
    reason: str


_RUN, _SKIP, _FAIL = Decision.RUN, Decision.SKIP, Decision.UPSTREAM_FAILED

_UPSTREAM_BAD = _Clause(lambda c: c.bad > 0, _FAIL, "{bad} of {total} upstream tasks failed")
_UPSTREAM_SKIPPED = _Clause(lambda c: c.skipped > 0, _SKIP, "{skipped} of {total} upstream tasks were skipped")
_WHEN_ALL_DONE = _Clause(lambda c: c.all_done, _RUN, "all {total} upstream tasks are done")


RULES: dict[TriggerRule, tuple[_Clause, ...]] = {
    TriggerRule.ALL_SUCCESS: (_UPSTREAM_BAD, _UPSTREAM_SKIPPED, _WHEN_ALL_DONE),
    TriggerRule.ALL_FAILED: (
        _Clause(
            lambda c: c.success + c.skipped > 0,
            _SKIP,
            "{success} upstream tasks succeeded, {skipped} were skipped",
        ),
        _WHEN_ALL_DONE,
    ),
    TriggerRule.ALL_DONE: (_WHEN_ALL_DONE,),
    TriggerRule.ALL_DONE_MIN_ONE_SUCCESS: (
        _Clause(lambda c: c.all_done and c.success > 0, _RUN, "all upstream tasks are done, {success} succeeded"),
        _Clause(lambda c: c.all_done and c.bad == 0, _SKIP, "no upstream task succeeded, {skipped} were skipped"),
        _Clause(lambda c: c.all_done, _FAIL, "no upstream task succeeded, {bad} failed"),
    ),
    TriggerRule.ALL_DONE_SETUP_SUCCESS: (
        _Clause(
            lambda c: c.all_done and 0 < c.setups == c.setup_skipped,
            _SKIP,
            "all of its {setups} setups were skipped",
        ),
        _Clause(
            lambda c: c.all_done and c.setups > 0 and c.setup_success == 0,
            _FAIL,
            "none of its {setups} setups succeeded",
        ),
        _WHEN_ALL_DONE,
    ),
    TriggerRule.ONE_SUCCESS: (
        _Clause(lambda c: c.success > 0, _RUN, "{success} upstream tasks succeeded"),
        _Clause(lambda c: c.all_done and c.skipped == c.done, _SKIP, "all upstream tasks were skipped"),
        _Clause(lambda c: c.all_done, _FAIL, "no upstream task succeeded"),
    ),
    TriggerRule.ONE_FAILED: (
        _Clause(lambda c: c.bad > 0, _RUN, "{bad} upstream tasks failed"),
        _Clause(lambda c: c.all_done, _SKIP, "no upstream task failed"),
    ),
    TriggerRule.ONE_DONE: (
        _Clause(lambda c: c.success + c.failed > 0, _RUN, "an upstream task is done"),
        _Clause(lambda c: c.all_done, _SKIP, "no upstream task ran"),
    ),
    TriggerRule.NONE_FAILED: (_UPSTREAM_BAD, _WHEN_ALL_DONE),
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: (
        _UPSTREAM_BAD,
        _Clause(lambda c: c.all_done and c.skipped == c.done, _SKIP, "all upstream tasks were skipped"),
        _WHEN_ALL_DONE,
    ),
    TriggerRule.NONE_SKIPPED: (_UPSTREAM_SKIPPED, _WHEN_ALL_DONE),
    TriggerRule.ALL_SKIPPED: (
        _Clause(lambda c: c.success + c.bad > 0, _SKIP, "{done} upstream tasks are done and not all were skipped"),
        _WHEN_ALL_DONE,
    ),
    TriggerRule.ALWAYS: (_Clause(lambda c: True, _RUN, "runs whatever happens above"),),
}

_NO_UPSTREAM = Verdict(_RUN, "has no upstream task")


def judge(rule: TriggerRule, counts: UpstreamCounts) -> Verdict:
    """What ``rule`` says of a task whose direct upstream tasks are in the states counted."""
    if counts.total == 0:
        return _NO_UPSTREAM
    for clause in RULES[rule]:
        if clause.holds(counts):
            return Verdict(clause.decision, _fill(clause.reason, counts))
    return Verdict(Decision.WAIT, f"{rule}: {counts.done} of {counts.total} upstream tasks are done")


def _fill(reason: str, counts: UpstreamCounts) -> str:
    return reason.format(
        total=counts.total,
        done=counts.done,
        success=counts.success,
        skipped=counts.skipped,
        bad=counts.bad,
        setups=counts.setups,
    )
