"""What follows an attempt that ended: success, another try, a repeat of the same try, or the end."""

from __future__ import annotations

from dataclasses import dataclass

from clockmill.state.chance import chance
from clockmill.state.states import Outcome, TaskState

MAX_BACKOFF_SECONDS = 24 * 3600.0
#: A delay beyond this, ten years, is taken as this: an instant that far away can still be written down.
MAX_DELAY_SECONDS = 3650 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The arithmetic of one task's retries; times in seconds.

    :param backoff: each delay is the one before times this; 1 keeps it fixed.
    :param jitter: the largest part of a delay, from 0 to 1, that is taken off at random, so that tasks that failed
        together do not come back together.
    """

    delay: float = 300.0
    backoff: float = 1.0
    max_delay: float | None = None
    jitter: float = 0.0

    def delay_after(self, try_number: int, seed: str = "") -> float:
        """Seconds between the end of try ``try_number`` (from 1) and the next.

        :param seed: what the jitter is made of; the same seed and try give the same delay, whoever works it out.
        """
        delay = self._full_delay(try_number)
        return delay * (1.0 - self.jitter * chance(f"{seed}/{try_number}")) if self.jitter else delay

    def _full_delay(self, try_number: int) -> float:
        cap = self.max_delay if self.max_delay is not None else MAX_BACKOFF_SECONDS
        if self.backoff <= 1.0:
            return self.delay if self.max_delay is None else min(self.delay, cap)
        delay = self.delay
        for _ in range(try_number - 1):
            delay *= self.backoff
            if delay >= cap:
                break
        return min(delay, cap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a task instance has used and may use.

    :param try_number: the try that ended, from 1.
    :param max_tries: the last try number allowed.
    :param crashes: lost attempts since it was last cleared, before this one.
    """

    try_number: int
    max_tries: int
    crashes: int
    crash_budget: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """Where the task instance goes.

    :param delay: seconds until the next try is due; only with ``up_for_retry``.
    :param crashes: lost attempts, this one included.
    """

    state: TaskState
    reason: str
    crashes: int
    delay: float | None = None


def after_attempt(
    outcome: Outcome,
    reason: str,
    budget: Budget,
    rule: Backoff,
    *,
    retry_after: float | None = None,
    no_retry: bool = False,
    seed: str = "",
) -> NextStep:
    """What becomes of a task instance whose attempt ended with ``outcome``.

    :param seed: names the task instance, for the jitter of its delay.
    """
    match outcome:
        case Outcome.SUCCESS:
            return NextStep(state=TaskState.SUCCESS, reason="", crashes=budget.crashes)
        case Outcome.SKIPPED:
            return NextStep(state=TaskState.SKIPPED, reason=reason, crashes=budget.crashes)
        case Outcome.RELEASED:
            return NextStep(state=TaskState.SCHEDULED, reason=reason, crashes=budget.crashes)
        case Outcome.DEFERRED:
            return NextStep(state=TaskState.DEFERRED, reason=reason, crashes=budget.crashes)
        case Outcome.RESCHEDULED:
            return NextStep(state=TaskState.UP_FOR_RESCHEDULE, reason=reason, crashes=budget.crashes)
        case Outcome.STOPPED:
            return NextStep(state=TaskState.FAILED, reason=reason, crashes=budget.crashes)
        case Outcome.LOST:
            return _after_loss(reason, budget)
        case Outcome.FAILED:
            delay = rule.delay_after(budget.try_number, seed) if retry_after is None else retry_after
            return _after_failure(reason, budget, delay, no_retry)


def _after_loss(reason: str, budget: Budget) -> NextStep:
    crashes = budget.crashes + 1
    if crashes <= budget.crash_budget:
        again = f"{reason} Offered again, crash {crashes} of {budget.crash_budget}."
        return NextStep(state=TaskState.SCHEDULED, reason=again.strip(), crashes=crashes)
    spent = f"{reason} The crash budget of {budget.crash_budget} is spent."
    return NextStep(state=TaskState.FAILED, reason=spent.strip(), crashes=crashes)


def _after_failure(reason: str, budget: Budget, delay: float, no_retry: bool) -> NextStep:
    if no_retry or budget.try_number >= budget.max_tries:
        return NextStep(state=TaskState.FAILED, reason=reason, crashes=budget.crashes)
    delay = min(max(delay, 0.0), MAX_DELAY_SECONDS)
    return NextStep(state=TaskState.UP_FOR_RETRY, reason=reason, crashes=budget.crashes, delay=delay)
