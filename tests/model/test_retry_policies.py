"""Retry policies as authors write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from clockmill import DAG, BaseOperator, ExceptionRetryPolicy, RetryAction, RetryDecision, RetryRule
from clockmill.errors import DagDefinitionError


class Limited(ConnectionError):
    pass


def decided(rule: RetryRule, error: BaseException) -> RetryDecision:
    return ExceptionRetryPolicy(rules=[rule]).evaluate(error, 1, 3, {})


@pytest.mark.parametrize("kind", [ConnectionError, "ConnectionError", "builtins.ConnectionError", [KeyError, OSError]])
def test_a_rule_matches_a_class_its_name_and_what_is_derived_from_it(kind: Any) -> None:
    assert decided(RetryRule(kind, RetryAction.FAIL), Limited()).action is RetryAction.FAIL
    assert decided(RetryRule(kind, RetryAction.FAIL), ValueError()).action is RetryAction.DEFAULT


def test_a_rule_can_leave_subclasses_alone() -> None:
    rule = RetryRule(ConnectionError, "fail", match_subclasses=False)  # type: ignore[arg-type]
    assert decided(rule, ConnectionError()).action is RetryAction.FAIL
    assert decided(rule, Limited()).action is RetryAction.DEFAULT
    assert decided(RetryRule(f"{__name__}.Limited", match_subclasses=False), Limited()).action is RetryAction.RETRY


def test_the_first_rule_that_matches_decides() -> None:
    policy = ExceptionRetryPolicy(
        rules=[
            RetryRule(Limited, RetryAction.RETRY, retry_delay=30, reason="rate limit"),
            RetryRule(Exception, RetryAction.FAIL),
        ]
    )
    first = policy.evaluate(Limited(), 1, 3, {})
    assert first == RetryDecision(action=RetryAction.RETRY, retry_delay=timedelta(seconds=30), reason="rate limit")
    assert policy.evaluate(KeyError(), 1, 3, {}).action is RetryAction.FAIL


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RetryRule(42), "exception must be an exception class or its name, not 42"),  # type: ignore[arg-type]
        (lambda: RetryRule(int), "exception must be an exception class"),  # type: ignore[arg-type]
        (lambda: RetryRule(OSError, "never"), "action must be one of retry, fail, default, not 'never'"),  # type: ignore[arg-type]
        (lambda: RetryRule(OSError, retry_delay=-1), "retry_delay must be a timedelta"),
        (lambda: ExceptionRetryPolicy(rules=[OSError]), "rules must be a list of RetryRule"),  # type: ignore[list-item]
        (lambda: BaseOperator(task_id="t", retry_policy=ExceptionRetryPolicy), "retry_policy must be a RetryPolicy"),
        (lambda: BaseOperator(task_id="t", retry_jitter=1.5), "retry_jitter must be a number from 0 to 1, not 1.5"),
        (lambda: DAG("d", deadline="7:00"), "deadline must be a DeadlineAlert or a list of them, not '7:00'"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_sentence(make: Any, message: str) -> None:
    with pytest.raises(DagDefinitionError, match=message):
        make()
