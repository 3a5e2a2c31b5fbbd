"""What failed runs do to a backfill: its canary, its limit of failures, going on after that."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from clockmill import DAG
from clockmill.actions.backfill_steer import pause_backfill
from clockmill.operators.bash import BashOperator
from clockmill.state import BackfillState
from clockmill.storage import tables
from tests.backfilling import (
    F,
    Q,
    S,
    backfill,
    clear,
    daily,
    finish,
    on_one_database,
    resume,
    run_id,
    running,
    seen,
    states,
    work_through,
)


def test_the_others_wait_until_the_whole_canary_succeeded(mill) -> None:
    mill.add(daily())
    backfill(mill, canary=2)
    assert running(mill) == [1, 2]
    finish(mill, 2)
    assert running(mill) == [1]
    finish(mill, 1)
    assert running(mill) == [3, 4, 5]


@on_one_database
def test_a_canary_goes_backwards_with_its_backfill(mill) -> None:
    mill.add(daily())
    backfill(mill, canary=1, run_backwards=True)
    assert running(mill) == [6]


def test_a_canary_that_fails_pauses_and_once_fixed_and_resumed_only_what_is_left_is_done(mill) -> None:
    mill.add(daily())
    backfill(mill, canary=2)
    finish(mill, 2, "failed")
    assert (seen(mill).state, seen(mill).reason) == (
        BackfillState.PAUSED,
        "1 of the first 2 runs, its canary, failed",
    )
    finish(mill, 1)
    assert running(mill) == []
    resume(mill, rerun_failed=True)
    assert running(mill) == [2]
    finish(mill, 2)
    assert running(mill) == [3, 4, 5]
    work_through(mill)
    assert seen(mill).state is BackfillState.SUCCESS
    assert {row.try_number for row in mill.rows("d", run_id(mill, 1))} == {1}


@on_one_database
def test_resuming_in_spite_of_a_failed_canary_goes_on_without_it(mill) -> None:
    mill.add(daily())
    backfill(mill, canary=1)
    finish(mill, 1, "failed")
    resume(mill)
    assert running(mill) == [2, 3, 4]
    work_through(mill)
    assert (states(mill)[1], seen(mill).state) == (F, BackfillState.FAILED)


@pytest.mark.parametrize(("stop_at", "allowed"), [("1", 0), ("2", 1), ("33%", 1), ("34%", 2)])
def test_it_stops_at_exactly_so_many_failures(mill, stop_at: str, allowed: int) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, stop_at=stop_at)
    for day in range(1, allowed + 1):
        finish(mill, day, "failed")
        assert (running(mill), seen(mill).state) == ([day + 1], BackfillState.RUNNING)
    finish(mill, allowed + 1, "failed")
    assert (running(mill), seen(mill).state) == ([], BackfillState.PAUSED)
    assert seen(mill).reason == f"{allowed + 1} of 6 runs failed; it stops at {allowed + 1}"


def test_after_resuming_failures_are_counted_anew_and_nothing_that_succeeded_runs_again(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, stop_at="2")
    finish(mill, 1)
    finish(mill, 2, "failed")
    finish(mill, 3, "failed")
    resume(mill)
    finish(mill, 4, "failed")
    assert seen(mill).state is BackfillState.RUNNING
    finish(mill, 5, "failed")
    assert (seen(mill).state, states(mill)) == (BackfillState.PAUSED, {1: S, 2: F, 3: F, 4: F, 5: F, 6: Q})
    resume(mill, rerun_failed=True)
    work_through(mill)
    assert (set(states(mill).values()), seen(mill).state) == ({S}, BackfillState.SUCCESS)
    tries = [mill.row("d", "t", run_id(mill, day)).try_number for day in range(1, 7)]
    assert tries == [1, 2, 2, 2, 2, 1]


@on_one_database
def test_a_pause_by_a_person_forgives_no_failure(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, stop_at="2")
    finish(mill, 1, "failed")
    pause_backfill(mill.db, mill.clock, 1, actor="test")
    resume(mill)
    finish(mill, 2, "failed")
    assert seen(mill).state is BackfillState.PAUSED


@on_one_database
def test_failed_runs_that_a_person_cleared_while_it_was_paused_wait_for_it(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, stop_at="1")
    finish(mill, 1, "failed")
    clear(mill, 1)
    assert (states(mill)[1], running(mill)) == (Q, [])
    resume(mill)
    assert running(mill) == [1]


@on_one_database
def test_the_last_failure_ends_it_because_nothing_is_left_to_hold_back(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, 1, 2, stop_at="1")
    finish(mill, 1, "failed")
    resume(mill)
    finish(mill, 2, "failed")
    assert (seen(mill).state, seen(mill).reason) == (BackfillState.FAILED, "2 of 2 runs failed")


def test_a_rerun_of_failed_runs_keeps_what_succeeded_in_them(mill) -> None:
    with DAG("d", schedule="@daily") as dag:
        a, b, c = (BashOperator(task_id=name, bash_command="true") for name in "abc")
        a >> b >> c
    mill.add(dag)
    backfill(mill, 1, 1)
    pause_backfill(mill.db, mill.clock, 1, actor="test")
    finish(mill, 1, task_id="a")
    finish(mill, 1, "failed", task_id="b")
    resume(mill, rerun_failed=True)
    assert mill.executor.running() == ["b"]
    work_through(mill)
    assert {row.task_id: row.try_number for row in mill.rows("d", run_id(mill, 1))} == {"a": 1, "b": 2, "c": 1}


@on_one_database
def test_a_backfill_that_fails_does_not_pause_its_dag(mill) -> None:
    mill.add(daily(max_consecutive_failed_dag_runs=1))
    backfill(mill, 1, 2)
    finish(mill, 1, "failed")
    finish(mill, 2, "failed")
    assert mill.db.read(lambda c: c.execute(select(tables.dag.c.is_paused)).scalar_one()) is False
