"""The trigger rules, held against a specification that reads every upstream state by itself."""

from collections import Counter
from collections.abc import Callable
from itertools import combinations_with_replacement, product

import pytest

from clockmill.state import Decision, TaskState, TriggerRule, UpstreamCounts, judge

S, F, U, K, R, W = (
    TaskState.SUCCESS,
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
    TaskState.SKIPPED,
    TaskState.REMOVED,
    TaskState.RUNNING,
)
RUN, SKIP, FAIL, WAIT = Decision.RUN, Decision.SKIP, Decision.UPSTREAM_FAILED, Decision.WAIT

States = tuple[TaskState, ...]


def counted(states: States) -> UpstreamCounts:
    counts = UpstreamCounts(total=sum(state is not R for state in states))
    for state in states:
        counts.add(state)
    return counts


def bad(states: States) -> bool:
    return F in states or U in states


def all_success(states: States) -> Decision:
    if bad(states):
        return FAIL
    if K in states:
        return SKIP
    return WAIT if W in states else RUN


def all_failed(states: States) -> Decision:
    if S in states or K in states:
        return SKIP
    return WAIT if W in states else RUN


def all_done(states: States) -> Decision:
    return WAIT if W in states else RUN


def all_done_min_one_success(states: States) -> Decision:
    if W in states:
        return WAIT
    if S in states:
        return RUN
    return FAIL if bad(states) else SKIP


def one_success(states: States) -> Decision:
    if S in states:
        return RUN
    if W in states:
        return WAIT
    return SKIP if set(states) == {K} else FAIL


def one_failed(states: States) -> Decision:
    if bad(states):
        return RUN
    return WAIT if W in states else SKIP


def one_done(states: States) -> Decision:
    if S in states or F in states:
        return RUN
    return WAIT if W in states else SKIP


def none_failed(states: States) -> Decision:
    if bad(states):
        return FAIL
    return WAIT if W in states else RUN


def none_failed_min_one_success(states: States) -> Decision:
    if bad(states):
        return FAIL
    if W in states:
        return WAIT
    return SKIP if set(states) == {K} else RUN


def none_skipped(states: States) -> Decision:
    if K in states:
        return SKIP
    return WAIT if W in states else RUN


def all_skipped(states: States) -> Decision:
    if S in states or bad(states):
        return SKIP
    return WAIT if W in states else RUN


def always(states: States) -> Decision:
    return RUN


SPECIFICATION: dict[TriggerRule, Callable[[States], Decision]] = {
    TriggerRule.ALL_SUCCESS: all_success,
    TriggerRule.ALL_FAILED: all_failed,
    TriggerRule.ALL_DONE: all_done,
    TriggerRule.ALL_DONE_SETUP_SUCCESS: all_done,
    TriggerRule.ALL_DONE_MIN_ONE_SUCCESS: all_done_min_one_success,
    TriggerRule.ONE_SUCCESS: one_success,
    TriggerRule.ONE_FAILED: one_failed,
    TriggerRule.ONE_DONE: one_done,
    TriggerRule.NONE_FAILED: none_failed,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: none_failed_min_one_success,
    TriggerRule.NONE_SKIPPED: none_skipped,
    TriggerRule.ALL_SKIPPED: all_skipped,
    TriggerRule.ALWAYS: always,
}


def specified(rule: TriggerRule, states: States) -> Decision:
    """What the rule says; a removed task is as if it had never been there, and a task with none above it runs."""
    there = tuple(state for state in states if state is not R)
    return SPECIFICATION[rule](there) if there else RUN


UP_TO_FOUR = [states for size in range(1, 5) for states in combinations_with_replacement((S, F, U, K, R, W), size)]

UP_TO_TWO = [states for states in UP_TO_FOUR if len(states) <= 2 and R not in states]


def test_every_rule_is_specified() -> None:
    assert set(SPECIFICATION) == set(TriggerRule)


@pytest.mark.parametrize("rule", list(TriggerRule))
def test_rule_says_what_its_specification_says_for_every_mix_of_upstream_states(rule: TriggerRule) -> None:
    wrong = {
        states: verdict
        for states in UP_TO_FOUR
        if (verdict := judge(rule, counted(states)).decision) is not specified(rule, states)
    }
    assert wrong == {}


def test_a_teardown_runs_when_all_is_done_and_one_of_its_setups_succeeded() -> None:
    wrong = []
    for setups, others in product(UP_TO_TWO, UP_TO_TWO):
        counts = counted(others)
        counts.total += len(setups)
        counts.setups = len(setups)
        for state in setups:
            counts.add(state, is_setup=True)
        if W in setups + others:
            expected = WAIT
        elif set(setups) == {K}:
            expected = SKIP
        else:
            expected = RUN if S in setups else FAIL
        if judge(TriggerRule.ALL_DONE_SETUP_SUCCESS, counts).decision is not expected:
            wrong.append((setups, others))
    assert wrong == []


@pytest.mark.parametrize("rule", list(TriggerRule))
def test_no_rule_waits_once_everything_above_is_done(rule: TriggerRule) -> None:
    done = [states for states in UP_TO_FOUR if W not in states]
    assert not [states for states in done if judge(rule, counted(states)).decision is WAIT]


@pytest.mark.parametrize("rule", list(TriggerRule))
def test_a_task_without_upstream_runs(rule: TriggerRule) -> None:
    assert judge(rule, UpstreamCounts()).decision is RUN


@pytest.mark.parametrize("rule", list(TriggerRule))
def test_every_verdict_has_a_reason_with_its_numbers_filled_in(rule: TriggerRule) -> None:
    reasons = [judge(rule, counted(states)).reason for states in UP_TO_FOUR]
    assert all(reason and "{" not in reason for reason in reasons)


def test_a_waiting_task_says_how_far_its_upstream_tasks_are() -> None:
    verdict = judge(TriggerRule.ALL_SUCCESS, counted((S, W, W)))
    assert verdict.reason == "all_success: 1 of 3 upstream tasks are done"


def test_states_that_are_not_finished_do_not_count_as_done() -> None:
    unfinished = [s for s in TaskState if s not in {S, F, U, K, R}]
    assert counted(tuple(unfinished)).done == 0


@pytest.mark.parametrize("state", [S, F, U, K])
def test_counting_up_and_down_again_leaves_nothing(state: TaskState) -> None:
    counts = UpstreamCounts(total=1)
    counts.add(state)
    assert Counter([counts.done, counts.total]) == Counter([1, 1])
    counts.add(state, -1)
    assert counts == UpstreamCounts(total=1)
