"""How an attempt ended, told from what its code raised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from clockmill.errors import FailTask, RescheduleTask, RetryTask, SkipTask, TaskGone
from clockmill.runtime.deferral import look_again_at
from clockmill.runtime.failures import reason_of
from clockmill.state import Outcome


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The outcome of an attempt as the task process sees it; see :class:`~clockmill.protocols.AttemptReport`.

    :param error: what was raised; None after a plain success.
    :param has_traceback: whether the log shows where it was raised. A deliberate end has nothing to trace back.
    """

    outcome: Outcome
    error: BaseException | None = None
    reason: str = ""
    exit_code: int | None = None
    retry_after: float | None = None
    no_retry: bool = False
    defer: dict[str, Any] | None = None
    look_again_at: str | None = None
    has_traceback: bool = False


SUCCESS = Ending(outcome=Outcome.SUCCESS)


def ending_of(error: BaseException) -> Ending:
    """The ending that ``error``, raised by user code or by us on its behalf, stands for."""
    ending = Ending(outcome=Outcome.FAILED, error=error, reason=reason_of(error))
    match error:
        case SkipTask():
            return replace(ending, outcome=Outcome.SKIPPED, reason=str(error) or "the task skipped itself")
        case FailTask():
            return replace(ending, no_retry=True)
        case RetryTask():
            after = None if error.after is None else max(0.0, error.after.total_seconds())
            return replace(ending, retry_after=after)
        case RescheduleTask():
            when = look_again_at(error)
            return replace(ending, outcome=Outcome.RESCHEDULED, reason=f"looks again at {when}", look_again_at=when)
        case TaskGone():
            return replace(ending, outcome=Outcome.STOPPED, reason=str(error))
        case SystemExit():
            return _exit(error, ending)
    return replace(ending, has_traceback=True)


def _exit(error: SystemExit, ending: Ending) -> Ending:
    # As Python itself takes it: None is 0, a number is the status, anything else is a message and status 1.
    if error.code is None or error.code == 0:
        note = "the task called sys.exit(0) and returned no value"
        return replace(ending, outcome=Outcome.SUCCESS, reason=note, exit_code=0)
    if isinstance(error.code, int):
        return replace(ending, reason=f"SystemExit: exit code {error.code}", exit_code=error.code, has_traceback=True)
    return replace(ending, exit_code=1, has_traceback=True)
