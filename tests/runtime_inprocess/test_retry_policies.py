"""A retry policy in the process of a task: what is reported, and what the log says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from clockmill import (
    ExceptionRetryPolicy,
    FailTask,
    RetryAction,
    RetryDecision,
    RetryPolicy,
    RetryRule,
    RetryTask,
)
from tests.runtime_inprocess.test_pipeline import attempt, raising

POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(KeyError, RetryAction.FAIL, reason="asking again will not help"),
        RetryRule(ConnectionError, RetryAction.RETRY, retry_delay=timedelta(seconds=7), reason="rate limit"),
    ]
)


def test_a_policy_ends_the_task_or_names_the_delay_and_says_why() -> None:
    failed = attempt(raising(KeyError("x")), retry_policy=POLICY)
    assert (failed.outcome, failed.no_retry, failed.retry_after) == ("failed", True, None)
    assert failed.reason == "KeyError: 'x' (retry_policy: fail, asking again will not help)"
    again = attempt(raising(ConnectionError("busy")), retry_policy=POLICY)
    assert (again.no_retry, again.retry_after) == (False, 7.0)
    assert again.reason == "ConnectionError: busy (retry_policy: retry, rate limit)"
    plain = attempt(raising(ValueError("x")), retry_policy=POLICY)
    assert (plain.no_retry, plain.retry_after, plain.reason) == (False, None, "ValueError: x")


def test_a_task_that_chose_its_end_itself_is_not_asked_about() -> None:
    everything = ExceptionRetryPolicy(rules=[RetryRule(BaseException, RetryAction.FAIL)])
    assert attempt(raising(RetryTask("later", after=timedelta(seconds=3))), retry_policy=everything).retry_after == 3.0
    assert not attempt(raising(RetryTask("later")), retry_policy=everything).no_retry
    every = ExceptionRetryPolicy(rules=[RetryRule(BaseException, RetryAction.RETRY)])
    assert attempt(raising(FailTask("no")), retry_policy=every).no_retry


def test_a_policy_of_ones_own_is_told_the_try_and_the_context() -> None:
    class Patient(RetryPolicy):
        def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any) -> RetryDecision:
            assert context["ti"].try_number == try_number <= max_tries
            return RetryDecision(action=RetryAction.RETRY, retry_delay=timedelta(seconds=10 * try_number))

    assert attempt(raising(ValueError("x")), retry_policy=Patient()).retry_after == 10.0


def test_a_failing_policy_is_told_of_in_the_log_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(RetryPolicy):
        def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any) -> RetryDecision:
            raise RuntimeError("no idea")

    class Silent(RetryPolicy):
        def evaluate(self, *_: Any) -> Any:
            return None

    for policy, told in ((Broken(), "RuntimeError: no idea"), (Silent(), "must return a RetryDecision, not None")):
        report = attempt(raising(ValueError("x")), retry_policy=policy)
        assert (report.outcome, report.no_retry, report.retry_after, report.reason) == (
            "failed",
            False,
            None,
            "ValueError: x",
        )
        assert told in capsys.readouterr().err


def test_the_policy_decides_which_callback_is_called() -> None:
    called: list[str] = []
    attempt(
        raising(KeyError("x")),
        retry_policy=POLICY,
        retries=3,
        on_retry_callback=lambda context: called.append("retry"),
        on_failure_callback=lambda context: called.append(context["reason"]),
    )
    assert called == ["KeyError: 'x' (retry_policy: fail, asking again will not help)"]
