"""What a task asks of the run before its own: ``depends_on_past`` and ``wait_for_downstream``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from clockmill.state.rules import Decision, Verdict
from clockmill.state.states import GOOD_TASK_STATES, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRule:
    """What one task asks of the run before.

    :param below: the tasks directly below it, when those of the run before count as well; else empty.
    :param ignore_first: whether it may run where the run before has no instance of it.
    :param before_skipping: whether it waits before it is skipped, too.
    """

    task_id: str
    below: tuple[str, ...] = ()
    ignore_first: bool = True
    before_skipping: bool = False

    def holds(self, decision: Decision) -> bool:
        """Whether it can hold back that decision. What cannot run because of a failure is never held back."""
        return decision is Decision.RUN or (decision is Decision.SKIP and self.before_skipping)


@dataclass(frozen=True, slots=True)
class PastVerdict:
    """What the run before says.

    :param waits_for: the tasks of the run before that are not done; empty when it lets the task go on.
    """

    verdict: Verdict | None = None
    waits_for: tuple[str, ...] = ()


def judge_past(rule: PastRule, run_id: str, states: Mapping[str, Sequence[TaskState]]) -> PastVerdict:
    """Whether the run before lets a task go on.

    An instance that was removed is as if it had never been there.

    :param run_id: of the run before, for the reason.
    :param states: the states of the instances of each task in it.
    """
    own = _present(states.get(rule.task_id, ()))
    if not own:
        why = f"the run {run_id} before has no {rule.task_id!r}, and ignore_first_depends_on_past is off"
        return PastVerdict() if rule.ignore_first else PastVerdict(Verdict(Decision.WAIT, why), (rule.task_id,))
    pending = {name: _pending(name, _present(states.get(name, ()))) for name in (rule.task_id, *rule.below)}
    for name, reason in pending.items():
        if reason:
            argument = "depends_on_past" if name == rule.task_id else "wait_for_downstream"
            verdict = Verdict(Decision.WAIT, f"{argument}: in the run {run_id} before {reason}")
            return PastVerdict(verdict, tuple(each for each, waits in pending.items() if waits))
    return PastVerdict()


def _present(states: Collection[TaskState]) -> list[TaskState]:
    return [state for state in states if state is not TaskState.REMOVED]


def _pending(task_id: str, states: Sequence[TaskState]) -> str | None:
    pending = [state for state in states if state not in GOOD_TASK_STATES]
    if not pending:
        return None
    if len(states) == 1:
        return f"{task_id!r} is {pending[0]}"
    return f"{len(pending)} of {len(states)} instances of {task_id!r} are not done, the first is {pending[0]}"
