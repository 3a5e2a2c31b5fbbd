"""Ask the retry policy of a task what follows its failure."""

from __future__ import annotations

import sys
from dataclasses import replace

from clockmill.errors import TaskSignal
from clockmill.model.retries import RetryAction, RetryDecision
from clockmill.runtime.context import TaskContext
from clockmill.runtime.endings import Ending
from clockmill.runtime.failures import print_failure
from clockmill.runtime.instance import TaskInstance
from clockmill.state import Outcome


def by_policy(ending: Ending, ti: TaskInstance, context: TaskContext) -> Ending:
    """``ending`` as the retry policy of the task wants it.

    A task that chose its end itself is not asked about. A policy that raises is told of in the log, and leaves things
    as they are without one.
    """
    policy, error = ti.task.retry_policy, ending.error
    if policy is None or ending.outcome is not Outcome.FAILED or error is None or isinstance(error, TaskSignal):
        return ending
    try:
        decision: object = policy.evaluate(error, ti.try_number, ti.max_tries, context)
        if not isinstance(decision, RetryDecision):
            raise TypeError(f"{type(policy).__name__}.evaluate() must return a RetryDecision, not {decision!r}")
        return _decided(ending, decision)
    except Exception as broken:  # noqa: BLE001 - a policy is the author's, and may raise anything
        sys.stderr.write("retry_policy failed, so retries and retry_delay decide:\n")
        print_failure(broken)
        return ending


def _decided(ending: Ending, decision: RetryDecision) -> Ending:
    action = RetryAction(decision.action)
    if action is RetryAction.DEFAULT:
        return ending
    told = f"retry_policy: {action}{f', {decision.reason}' if decision.reason else ''}"
    sys.stderr.write(f"{told}\n")
    reason = f"{ending.reason} ({told})"
    if action is RetryAction.FAIL:
        return replace(ending, no_retry=True, reason=reason)
    after = None if decision.retry_delay is None else max(0.0, decision.retry_delay.total_seconds())
    return replace(ending, retry_after=after, reason=reason)
