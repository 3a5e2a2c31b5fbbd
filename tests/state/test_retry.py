"""What follows an attempt: tries and the crash budget are spent exactly, and never for one another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.state import Backoff, Budget, NextStep, Outcome, TaskState, after_attempt

RULE = Backoff(delay=60.0)


def ended(outcome: Outcome, *, try_number: int = 1, max_tries: int = 3, crashes: int = 0, **more: object) -> NextStep:
    budget = Budget(try_number=try_number, max_tries=max_tries, crashes=crashes, crash_budget=3)
    return after_attempt(outcome, "Because.", budget, RULE, **more)  # type: ignore[arg-type]


def test_a_success_ends_the_task() -> None:
    assert ended(Outcome.SUCCESS).state is TaskState.SUCCESS


def test_a_failure_with_tries_left_waits_for_its_delay() -> None:
    step = ended(Outcome.FAILED)
    assert (step.state, step.delay, step.crashes) == (TaskState.UP_FOR_RETRY, 60.0, 0)


def test_the_last_failure_fails_the_task_and_keeps_the_reason() -> None:
    step = ended(Outcome.FAILED, try_number=3)
    assert (step.state, step.delay, step.reason) == (TaskState.FAILED, None, "Because.")


def test_a_task_that_asks_for_no_more_tries_fails_at_once() -> None:
    assert ended(Outcome.FAILED, no_retry=True).state is TaskState.FAILED


def test_a_task_that_asks_for_its_own_delay_gets_it_but_no_extra_try() -> None:
    assert ended(Outcome.FAILED, retry_after=5.0).delay == 5.0
    assert ended(Outcome.FAILED, retry_after=0.0).delay == 0.0
    assert ended(Outcome.FAILED, try_number=3, retry_after=5.0).state is TaskState.FAILED


def test_a_lost_attempt_is_offered_again_and_spends_no_try() -> None:
    step = ended(Outcome.LOST, try_number=3)
    assert (step.state, step.crashes) == (TaskState.SCHEDULED, 1)
    assert step.reason == "Because. Offered again, crash 1 of 3."


def test_the_crash_after_the_last_one_allowed_fails_the_task() -> None:
    assert ended(Outcome.LOST, crashes=2).state is TaskState.SCHEDULED
    step = ended(Outcome.LOST, crashes=3)
    assert (step.state, step.crashes) == (TaskState.FAILED, 4)
    assert "crash budget of 3 is spent" in step.reason


def test_an_attempt_given_back_by_a_shutdown_spends_nothing() -> None:
    step = ended(Outcome.RELEASED, try_number=3, crashes=3)
    assert (step.state, step.crashes) == (TaskState.SCHEDULED, 3)


def test_a_task_that_skips_itself_is_skipped_and_one_that_was_stopped_fails() -> None:
    assert ended(Outcome.SKIPPED).state is TaskState.SKIPPED
    assert ended(Outcome.STOPPED).state is TaskState.FAILED


@pytest.mark.parametrize(("try_number", "seconds"), [(1, 60), (2, 60), (9, 60)])
def test_a_fixed_delay_stays_the_same(try_number: int, seconds: float) -> None:
    assert RULE.delay_after(try_number) == seconds


@pytest.mark.parametrize(("try_number", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 50), (99, 50)])
def test_exponential_backoff_doubles_up_to_its_cap(try_number: int, seconds: float) -> None:
    assert Backoff(delay=10, backoff=2.0, max_delay=50).delay_after(try_number) == seconds


def test_backoff_without_a_cap_of_its_own_never_exceeds_a_day() -> None:
    assert Backoff(delay=300, backoff=2.0).delay_after(1000) == 24 * 3600


@settings(derandomize=True, max_examples=100)
@given(
    delay=st.floats(0, 1e6),
    backoff=st.floats(1, 10),
    cap=st.none() | st.floats(0, 1e6),
    number=st.integers(1, 200),
)
def test_delays_never_shrink_from_try_to_try_and_stay_under_their_cap(
    delay: float, backoff: float, cap: float | None, number: int
) -> None:
    rule = Backoff(delay=delay, backoff=backoff, max_delay=cap)
    assert 0 <= rule.delay_after(number) <= rule.delay_after(number + 1)
    assert cap is None or rule.delay_after(number) <= cap


@settings(derandomize=True, max_examples=100)
@given(
    outcomes=st.lists(st.sampled_from([Outcome.FAILED, Outcome.LOST, Outcome.RELEASED]), max_size=40),
    max_tries=st.integers(1, 4),
    crash_budget=st.integers(0, 4),
)
def test_tries_and_crashes_are_spent_exactly(outcomes: list[Outcome], max_tries: int, crash_budget: int) -> None:
    try_number, crashes, failures, losses = 1, 0, 0, 0
    for outcome in outcomes:
        budget = Budget(try_number=try_number, max_tries=max_tries, crashes=crashes, crash_budget=crash_budget)
        step = after_attempt(outcome, "", budget, RULE)
        failures += outcome is Outcome.FAILED
        losses += outcome is Outcome.LOST
        assert (step.state is TaskState.FAILED) == (failures == max_tries or losses == crash_budget + 1)
        if step.state is TaskState.FAILED:
            break
        crashes = step.crashes
        try_number += step.state is TaskState.UP_FOR_RETRY


@settings(derandomize=True, max_examples=100)
@given(
    delay=st.floats(0, 1e6),
    backoff=st.floats(1, 10),
    cap=st.none() | st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    number=st.integers(1, 50),
    seed=st.text(max_size=8),
)
def test_jitter_takes_off_no_more_than_its_part_and_is_the_same_each_time(
    delay: float, backoff: float, cap: float | None, jitter: float, number: int, seed: str
) -> None:
    whole = Backoff(delay=delay, backoff=backoff, max_delay=cap).delay_after(number)
    rule = Backoff(delay=delay, backoff=backoff, max_delay=cap, jitter=jitter)
    spread = rule.delay_after(number, seed)
    assert spread == rule.delay_after(number, seed)
    assert whole * (1 - jitter) <= spread <= whole
    assert spread >= 0 and (cap is None or spread <= cap)


def test_jitter_spreads_tasks_that_failed_together_and_the_tries_of_one() -> None:
    rule = Backoff(delay=100, jitter=1.0)
    delays = [rule.delay_after(1, str(seed)) for seed in range(200)]
    assert min(delays) < 10 and max(delays) > 90 and len(set(delays)) == 200
    assert rule.delay_after(1, "7") != rule.delay_after(2, "7")


def test_the_jitter_of_a_task_instance_is_that_of_its_seed() -> None:
    rule = Backoff(delay=100, jitter=0.5)
    budget = Budget(try_number=1, max_tries=3, crashes=0, crash_budget=3)
    step = after_attempt(Outcome.FAILED, "", budget, rule, seed="7")
    assert step.delay == rule.delay_after(1, "7")
    asked = after_attempt(Outcome.FAILED, "", budget, rule, seed="7", retry_after=80.0)
    assert asked.delay == 80.0
