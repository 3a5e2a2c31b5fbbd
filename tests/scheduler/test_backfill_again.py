"""Dates that have a run when a backfill comes: which are repeated, and which are left."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from clockmill.actions.backfill_steer import pause_backfill
from clockmill.state import BackfillState, TaskState
from clockmill.state.backfill import ReprocessBehavior
from clockmill.storage import tables
from tests.backfilling import F, Q, R, S, backfill, daily, finish, on_one_database, run_id, seen, states, work_through


def one_of_each(mill) -> None:
    """A first backfill over four days: 1 succeeded, 2 failed, 3 runs, 4 is queued."""
    mill.add(daily(max_active_runs=1))
    backfill(mill, 1, 4)
    finish(mill, 1)
    finish(mill, 2, "failed")
    pause_backfill(mill.db, mill.clock, 1, actor="test")
    assert states(mill) == {1: S, 2: F, 3: R, 4: Q}
    mill.db.write(lambda c: c.execute(update(tables.backfill).values(to_date=datetime(2025, 11, 1, tzinfo=UTC))))
    mill.clock.advance(60)


@pytest.mark.parametrize(
    ("behavior", "again"),
    [(ReprocessBehavior.NONE, []), (ReprocessBehavior.FAILED, [2]), (ReprocessBehavior.COMPLETED, [1, 2])],
)
def test_which_runs_are_repeated(mill, behavior: ReprocessBehavior, again: list[int]) -> None:
    one_of_each(mill)
    ident = backfill(mill, 1, 5, reprocess_behavior=behavior, conf={"again": True})
    assert {day: state for day, state in states(mill).items() if day > 2} == {3: R, 4: Q, 5: Q}
    assert [day for day in (1, 2) if states(mill)[day] == Q] == again
    for day in (1, 2, 3, 4, 5):
        run = mill.run("d", run_id(mill, day))
        mine = day in {*again, 5}
        assert (run.backfill_id, run.conf) == ((ident, {"again": True}) if mine else (1, {}))
    assert seen(mill, ident).run_count == len(again) + 1


def test_a_repeated_run_has_new_tries_and_ends_the_backfill(mill) -> None:
    mill.add(daily())
    mill.trigger("d", logical_date=datetime(2025, 12, 1, tzinfo=UTC))
    mill.finish("t")
    backfill(mill, 1, 1, reprocess_behavior=ReprocessBehavior.COMPLETED)
    row = mill.row("d", "t", "r1")
    assert (row.state, row.try_number, row.lane) == (TaskState.RUNNING, 2, 1)
    mill.finish("t")
    assert (mill.run_state("d"), seen(mill).state) == (S, BackfillState.SUCCESS)


def test_a_repeated_run_runs_the_tasks_that_an_earlier_backfill_left_out(mill) -> None:
    mill.add(daily(tasks="ab"))
    backfill(mill, 1, 1, tasks="a")
    work_through(mill)
    backfill(mill, 1, 1, reprocess_behavior=ReprocessBehavior.COMPLETED)
    work_through(mill)
    assert mill.states("d", run_id(mill, 1)) == {"a": "success", "b": "success"}


@on_one_database
def test_when_every_date_has_a_run_there_is_nothing_to_do(mill) -> None:
    mill.add(daily())
    backfill(mill, 1, 2)
    work_through(mill)
    backfill(mill, 1, 2)
    assert (seen(mill, 2).state, seen(mill, 2).reason) == (BackfillState.SUCCESS, "there was nothing to run")


@on_one_database
def test_a_run_of_another_date_that_has_the_run_id_is_left(mill) -> None:
    mill.add(daily())
    mill.trigger("d", "backfill__2025-12-01T00:00:00+00:00")
    backfill(mill, 1, 2)
    assert list(states(mill)) == [2, 1]
    assert seen(mill).run_count == 1


@on_one_database
def test_a_tick_whose_date_was_backfilled_is_not_run_twice(mill) -> None:
    mill.add(daily(start_date=datetime(2025, 12, 20, tzinfo=UTC), catchup=True), paused=True)
    backfill(mill, 20, 25)
    mill.db.write(lambda c: c.execute(update(tables.dag).values(is_paused=False)))
    mill.pump()
    assert [row.run_id.split("__")[0] for row in mill.runs("d")] == ["backfill"] * 6 + ["scheduled"] * 7
