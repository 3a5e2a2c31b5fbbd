"""The end of a backfill: cancelling it, and what happens to its runs when it is over."""

from __future__ import annotations

from datetime import date

import pytest

from clockmill.actions.backfill_steer import cancel_backfill, pause_backfill, resume_backfill
from clockmill.errors import Conflict, NotFound
from clockmill.state import BackfillState, TaskState
from clockmill.state.backfill import ReprocessBehavior
from tests.backfilling import (
    F,
    Q,
    R,
    S,
    backfill,
    cancel,
    clear,
    daily,
    on_one_database,
    run_id,
    running,
    seen,
    states,
    work_through,
)


def test_cancel_lets_what_runs_finish_and_frees_the_dates_that_had_not_begun(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, 1, 3)
    cancel(mill)
    row = seen(mill)
    assert (row.state, row.reason, row.ended_at) == (BackfillState.CANCELLED, "cancelled by test", mill.clock.now())
    assert states(mill) == {1: R}
    backfill(mill, 1, 3)
    assert states(mill) == {1: R, 2: Q, 3: Q}
    work_through(mill)
    assert (seen(mill, 1).state, seen(mill, 2).state) == (BackfillState.CANCELLED, BackfillState.SUCCESS)


def test_a_run_with_a_history_that_waits_is_kept_by_cancel_and_fails_with_the_reason(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, 1, 2)
    work_through(mill)
    backfill(mill, 1, 2, reprocess_behavior=ReprocessBehavior.COMPLETED)
    cancel(mill, 2)
    assert states(mill) == {1: R, 2: F}
    run = mill.run("d", run_id(mill, 2))
    assert run.reason == "run stopped: the backfill 2 was cancelled before this run began"
    assert mill.row("d", "t", run.run_id).state is TaskState.SKIPPED


def test_cancel_takes_back_many_runs_in_several_transactions(mill) -> None:
    mill.add(daily(), paused=True)
    backfill(mill, first=date(2025, 1, 1), last=date(2025, 12, 1))
    cancel_backfill(mill.db, mill.clock, 1, actor="test")
    mill.listener.called = True
    mill.service.run_once()
    assert len(mill.runs("d")) == 135
    mill.pump()
    assert (mill.runs("d"), seen(mill).is_settled) == ([], True)


@pytest.mark.parametrize("how", ["success", "cancelled"])
def test_a_run_that_is_cleared_when_its_backfill_is_over_runs_by_itself(mill, how: str) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, 1, 1)
    if how == "cancelled":
        cancel(mill)
    work_through(mill)
    clear(mill, 1)
    assert running(mill) == [1]
    work_through(mill)
    assert (states(mill)[1], seen(mill).state) == (S, how)


@on_one_database
def test_what_is_over_cannot_be_steered(mill) -> None:
    mill.add(daily())
    backfill(mill, 1, 1)
    work_through(mill)
    for steer in (pause_backfill, resume_backfill, cancel_backfill):
        with pytest.raises(Conflict, match="The backfill 1 is over: success"):
            steer(mill.db, mill.clock, 1, actor="test")
    with pytest.raises(NotFound, match=r"There is no backfill '2'\."):
        pause_backfill(mill.db, mill.clock, 2, actor="test")
