"""When the runs of a backfill begin, why they wait, and how far it is."""

from __future__ import annotations

from datetime import UTC, date, datetime

from sqlalchemy import update

from clockmill.actions.backfill_progress import progress_of
from clockmill.actions.backfill_steer import pause_backfill
from clockmill.actions.explain import explain
from clockmill.state import BackfillState
from clockmill.storage import tables
from tests.backfilling import (
    Q,
    R,
    S,
    backfill,
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


def test_its_own_limit_holds_within_that_of_the_dag(mill) -> None:
    mill.add(daily(max_active_runs=3))
    backfill(mill, max_active_runs=2)
    assert running(mill) == [1, 2]
    finish(mill, 2)
    assert running(mill) == [1, 3]


@on_one_database
def test_a_limit_above_that_of_the_dag_changes_nothing(mill) -> None:
    mill.add(daily(max_active_runs=3))
    backfill(mill, max_active_runs=5)
    assert running(mill) == [1, 2, 3]


def test_backwards_begins_with_the_last_date(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, run_backwards=True)
    assert running(mill) == [6]
    finish(mill, 6)
    assert running(mill) == [5]


def test_live_runs_go_first(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill)
    mill.trigger("d", "live", logical_date=datetime(2025, 12, 31, tzinfo=UTC))
    assert states(mill) == {1: R, 2: Q, 3: Q, 4: Q, 5: Q, 6: Q, 31: Q}
    finish(mill, 1)
    assert mill.run_state("d", "live") == R
    mill.finish("t", run_id="live")
    assert running(mill) == [2]


@on_one_database
def test_nothing_begins_while_the_dag_is_paused(mill) -> None:
    mill.add(daily(), paused=True)
    backfill(mill)
    assert (len(mill.runs("d")), running(mill)) == (6, [])
    mill.db.write(lambda c: c.execute(update(tables.dag).values(is_paused=False)))
    mill.pump()
    assert running(mill) == [1, 2, 3]


@on_one_database
def test_two_backfills_of_a_dag_share_its_limit_the_older_first(mill) -> None:
    mill.add(daily(max_active_runs=3))
    backfill(mill, 1, 2)
    backfill(mill, 11, 12)
    assert running(mill) == [1, 2, 11]


def test_pause_lets_what_runs_go_on_and_begins_nothing(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, 1, 3)
    pause_backfill(mill.db, mill.clock, 1, actor="test")
    finish(mill, 1)
    assert states(mill) == {1: S, 2: Q, 3: Q}
    assert (seen(mill).state, seen(mill).reason) == (BackfillState.PAUSED, "paused by test")
    resume(mill)
    assert running(mill) == [2]
    work_through(mill)
    assert seen(mill).state is BackfillState.SUCCESS


def test_pausing_while_the_runs_are_made_stops_that_until_it_is_resumed(mill) -> None:
    mill.add(daily())
    backfill(mill, first=date(2025, 1, 1), last=date(2025, 12, 1), pump=False)
    mill.service.run_once()
    pause_backfill(mill.db, mill.clock, 1, actor="test")
    mill.pump()
    assert len(mill.runs("d")) == 200
    resume(mill)
    assert len(mill.runs("d")) == seen(mill).run_count == 335


def why(mill, day: int) -> str:
    return mill.db.read(lambda c: explain(c, "d", run_id(mill, day), "t")).verdict


def test_why_a_run_of_a_backfill_waits(mill) -> None:
    mill.add(daily(max_active_runs=2), paused=True)
    backfill(mill, canary=1, max_active_runs=2)
    assert "dags unpause d" in why(mill, 2)
    mill.db.write(lambda c: c.execute(update(tables.dag).values(is_paused=False)))
    mill.pump()
    assert why(mill, 2) == "The run waits until the canary of backfill 1, its first 1, succeeded."
    finish(mill, 1)
    assert why(mill, 4) == "The run waits for its turn: 2 of max_active_runs=2 of backfill 1 are running."
    mill.db.write(lambda c: c.execute(update(tables.backfill).values(max_active_runs=None)))
    assert why(mill, 4) == "The run waits for its turn: 2 of max_active_runs=2 are running."
    pause_backfill(mill.db, mill.clock, 1, actor="test")
    assert why(mill, 4).startswith("The backfill 1 is paused: paused by test. 'clockmill backfill resume 1'")


def test_the_end_is_foretold_from_what_is_done(mill) -> None:
    mill.add(daily(max_active_runs=1))
    backfill(mill, 1, 4)
    progress = mill.db.read(lambda c: progress_of(c, seen(mill), mill.clock.now()))
    assert (progress.finished, progress.total, progress.ends_at) == (0, 4, None)
    begun = mill.clock.now()
    mill.clock.advance(59)
    finish(mill, 1)
    progress = mill.db.read(lambda c: progress_of(c, seen(mill), mill.clock.now()))
    assert (progress.finished, progress.ends_at) == (1, begun.replace(minute=4))
