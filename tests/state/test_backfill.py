"""What a backfill does next, and what its limit of failures means."""

from __future__ import annotations

import pytest

from clockmill.state import RunState
from clockmill.state.backfill import BackfillFacts, BackfillStep, StopAt, next_step

S, F, Q, R = RunState.SUCCESS, RunState.FAILED, RunState.QUEUED, RunState.RUNNING


@pytest.mark.parametrize(
    ("text", "run_count", "failures"),
    [("5", 3, 5), ("10%", 10, 1), ("10%", 11, 2), ("10%", 1, 1), ("100%", 7, 7), ("0.1%", 3653, 4), (" 5 % ", 20, 1)],
)
def test_a_share_of_failures_is_reached_by_the_first_whole_run_at_or_above_it(text, run_count, failures) -> None:
    assert StopAt.parse(text).failures(run_count) == failures
    assert StopAt.parse(StopAt.parse(text).text) == StopAt.parse(text)


@pytest.mark.parametrize(
    "text", ["", "0", "0%", "-1", "1.5", "101%", "five", "5%%", "1e3", "nan", "inf", "9" * 10, "٥"]
)
def test_what_is_no_number_of_failures_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        StopAt.parse(text)


def step(facts: BackfillFacts, **rules: object) -> BackfillStep:
    return next_step(facts, **{"max_active_runs": None, "stop_at": None, "run_count": 10, **rules})


@pytest.mark.parametrize(
    ("has_queued", "running", "expected"),
    [
        (True, 0, BackfillStep(begin=None)),
        (True, 3, BackfillStep(begin=None)),
        (False, 1, BackfillStep()),
        (False, 0, BackfillStep(is_over=True)),
    ],
)
def test_without_rules_all_may_begin_and_it_is_over_with_the_last(has_queued, running, expected) -> None:
    assert step(BackfillFacts(has_queued=has_queued, running=running)) == expected


@pytest.mark.parametrize(("running", "begin"), [(0, 2), (1, 1), (2, 0), (3, 0)])
def test_its_own_limit_leaves_room_for_so_many(running: int, begin: int) -> None:
    assert step(BackfillFacts(has_queued=True, running=running), max_active_runs=2).begin == begin


@pytest.mark.parametrize(
    ("canary", "begin", "paused"),
    [
        ([Q, Q], 2, False),
        ([R, Q], 1, False),
        ([R, R], 0, False),
        ([S, R], 0, False),
        ([S, S], None, False),
        ([S, F], 0, True),
        ([R, F], 0, True),
        ([], None, False),
    ],
)
def test_a_canary_lets_only_itself_begin_until_all_of_it_succeeded(canary, begin, paused) -> None:
    answer = step(BackfillFacts(has_queued=True, running=canary.count(R), canary=canary))
    assert (answer.begin, bool(answer.pause)) == (begin, paused)


@pytest.mark.parametrize(("failed", "paused"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_limit_of_failures_pauses_when_it_is_reached(failed: int, paused: bool) -> None:
    facts = BackfillFacts(has_queued=True, running=1, failed=failed)
    answer = step(facts, stop_at=StopAt.parse("20%"))
    assert bool(answer.pause) is paused
    assert not paused or f"{failed} of 10 runs failed; it stops at 2" in answer.pause
