"""Backfills as the scheduler works on them: which runs are made, when they begin, what holds them back."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from clockmill import DAG
from clockmill.actions.backfill import BackfillRequest, request_backfill
from clockmill.actions.backfill_progress import progress_of
from clockmill.actions.backfill_steer import cancel_backfill, pause_backfill, resume_backfill, the_backfill
from clockmill.actions.clear import clear_tasks
from clockmill.actions.dags import delete_dag
from clockmill.actions.explain import explain
from clockmill.errors import Conflict, NotFound
from clockmill.operators.bash import BashOperator
from clockmill.serde import decode, dumps, encode
from clockmill.state import BackfillState, RunState, TaskState
from clockmill.state.backfill import ReprocessBehavior
from clockmill.storage import tables
from clockmill.storage.backfill_pages import list_backfills
from clockmill.storage.runs import load_tasks, lock_runs
from clockmill.storage.versions import version
from clockmill.testing.executor import ScriptedExecutor

#: For what is decided above the database.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

S, F, Q, R = RunState.SUCCESS, RunState.FAILED, RunState.QUEUED, RunState.RUNNING


def daily(dag_id: str = "d", tasks: str = "t", **arguments: object) -> DAG:
    defaults: dict[str, Any] = {"schedule": "@daily", "max_active_runs": 3}
    with DAG(dag_id, **{**defaults, **arguments}) as dag:
        for name in tasks:
            BashOperator(task_id=name, bash_command="true")
    return dag


def backfill(mill, first: int | date = 1, last: int | date = 6, *, pump: bool = True, **options: Any) -> int:
    """Backfill days of December 2025, or those given."""
    days = {
        name: date(2025, 12, day) if isinstance(day, int) else day for name, day in (("first", first), ("last", last))
    }
    request = BackfillRequest(**{"dag_id": "d", **days, **options})
    made = request_backfill(mill.db, mill.clock, request, actor="test")
    if pump:
        mill.pump()
    return made.id


def seen(mill, ident: int = 1) -> Any:
    return mill.db.read(lambda c: the_backfill(c, ident))


def resume(mill, ident: int = 1, **options: Any) -> None:
    mill.clock.advance(1)
    resume_backfill(mill.db, mill.clock, ident, actor="test", **options)
    mill.pump()


def cancel(mill, ident: int = 1) -> None:
    cancel_backfill(mill.db, mill.clock, ident, actor="test")
    mill.pump()


def states(mill) -> dict[int, RunState]:
    """The state of each run by its day."""
    return {row.logical_date.day: row.state for row in mill.runs("d")}


def running(mill) -> list[int]:
    return [day for day, state in states(mill).items() if state == R]


def run_id(mill, day: int) -> str:
    return next(row.run_id for row in mill.runs("d") if row.logical_date.day == day)


def finish(mill, day: int, outcome: str = "success", task_id: str = "t") -> None:
    mill.clock.advance(1)
    mill.finish(task_id, outcome, run_id=run_id(mill, day))


def work_through(mill) -> None:
    while mill.executor.running():
        mill.clock.advance(1)
        mill.finish(mill.executor.running()[0])


def clear(mill, day: int) -> None:
    """What a person does who clears all of a run."""
    run = mill.run("d", run_id(mill, day))

    def work(connection: Any) -> None:
        document = decode(version(connection, run.version_id).document)
        keys = [row.key for row in load_tasks(connection, run.id)]
        clear_tasks(connection, lock_runs(connection, [run.id])[0], keys, document, mill.clock.now())

    mill.db.write(work)
    mill.pump()


# --- making runs -----------------------------------------------------------------------------------------------------


def test_each_date_gets_one_run_and_the_backfill_ends_with_the_last(mill) -> None:
    mill.add(daily())
    ident = backfill(mill)
    assert len(mill.runs("d")) == 6
    assert mill.runs("d")[1].run_id == "backfill__2025-12-02T00:00:00+00:00"
    assert running(mill) == [1, 2, 3]
    run = mill.run("d", run_id(mill, 1))
    assert (run.run_type, run.backfill_id, run.run_after) == ("backfill", ident, run.logical_date)
    assert {row.lane for row in mill.rows("d", run.run_id)} == {1}
    while mill.executor.running():
        assert seen(mill).state is BackfillState.RUNNING
        mill.finish("t")
    row = seen(mill)
    assert (row.state, row.ended_at, row.run_count, row.reason) == (BackfillState.SUCCESS, mill.clock.now(), 6, "")
    told = [event.detail["state"] for event in mill.events("backfill_state")]
    assert (len(mill.events("backfill_created")), told) == (1, ["success"])


@on_one_database
def test_a_failed_run_lets_it_fail_when_all_runs_are_over_and_not_before(mill) -> None:
    mill.add(daily())
    backfill(mill)
    finish(mill, 1, "failed")
    assert seen(mill).state is BackfillState.RUNNING
    work_through(mill)
    assert (seen(mill).state, seen(mill).reason) == (BackfillState.FAILED, "1 of 6 runs failed")


@on_one_database
def test_the_last_day_is_meant_whole(mill) -> None:
    mill.add(daily(schedule="@hourly"))
    backfill(mill, 1, 2)
    assert len(mill.runs("d")) == 48
    assert mill.runs("d")[-1].logical_date == datetime(2025, 12, 2, 23, tzinfo=UTC)


@on_one_database
@pytest.mark.parametrize(("micros", "last_day"), [(0, 3), (1, 2)])
def test_the_last_instant_is_included_and_nothing_after_it(mill, micros: int, last_day: int) -> None:
    mill.add(daily())
    until = datetime(2025, 12, 3, tzinfo=UTC) if not micros else datetime(2025, 12, 2, 23, 59, 59, 999999, tzinfo=UTC)
    backfill(mill, last=until)
    assert list(states(mill)) == list(range(1, last_day + 1))


@on_one_database
def test_days_are_those_of_the_zone_of_the_dag(mill) -> None:
    mill.add(daily(schedule="@hourly", timezone="Europe/Berlin"))
    backfill(mill, first=date(2025, 3, 30), last=date(2025, 3, 30))
    assert len(mill.runs("d")) == 23
    assert mill.runs("d")[0].logical_date == datetime(2025, 3, 29, 23, tzinfo=UTC)


@on_one_database
def test_a_run_is_named_by_the_beginning_of_its_interval(mill) -> None:
    from clockmill.timetables import CronDataIntervalTimetable

    mill.add(daily(schedule=CronDataIntervalTimetable("@daily")))
    backfill(mill, 30, 31)
    run = mill.run("d", run_id(mill, 31))
    assert (run.logical_date, run.run_after) == (datetime(2025, 12, 31, tzinfo=UTC), mill.clock.now())
    assert list(states(mill)) == [30, 31]


@on_one_database
def test_dates_that_are_not_due_yet_are_left_to_their_tick(mill) -> None:
    mill.add(daily())
    backfill(mill, last=date(2026, 1, 3), first=date(2025, 12, 30))
    assert list(states(mill)) == [30, 31, 1]
    mill.pass_time(days=1)
    assert mill.runs("d")[-1].run_id == "scheduled__2026-01-02T00:00:00+00:00"


def test_many_dates_are_made_in_several_transactions_by_several_schedulers(mill) -> None:
    other = mill.another(ScriptedExecutor(mill.clock, supervisor_id="b"))
    mill.add(daily())
    ident = backfill(mill, first=date(2024, 1, 1), last=date(2025, 3, 15), pump=False)
    made = []
    for service in [mill.service, other] * 3:
        mill.listener.called = True
        service.run_once()
        made.append(len(mill.runs("d")))
    assert made[:3] == [200, 400, 440]
    assert made[-1] == seen(mill, ident).run_count == 440
    assert sum(row.state == R for row in mill.runs("d")) == 3


@on_one_database
def test_a_dag_with_many_tasks_is_made_fewer_dates_at_a_time(mill) -> None:
    with DAG("d", schedule="@daily") as dag:
        for number in range(1000):
            BashOperator(task_id=f"t{number}", bash_command="true")
    mill.add(dag, paused=True)
    backfill(mill, 1, 12, pump=False)
    mill.service.run_once()
    assert len(mill.runs("d")) == 5


@on_one_database
def test_the_configuration_reaches_each_run(mill) -> None:
    mill.add(daily())
    backfill(mill, 1, 1, conf={"a": 1})
    assert mill.run("d", run_id(mill, 1)).conf == {"a": 1}


def test_only_the_chosen_tasks_run(mill) -> None:
    with DAG("d", schedule="@daily") as dag:
        a, b, c = (BashOperator(task_id=name, bash_command="true") for name in ("load_a", "clean", "load_c"))
        a >> b >> c
    mill.add(dag)
    backfill(mill, 1, 1, tasks="^load")
    name = run_id(mill, 1)
    assert mill.states("d", name)["clean"] is TaskState.REMOVED
    assert "--tasks ^load of backfill 1" in mill.row("d", "clean", name).reason
    work_through(mill)
    assert mill.states("d", name) == {"load_a": "success", "clean": "removed", "load_c": "success"}
    assert seen(mill).state is BackfillState.SUCCESS


@on_one_database
def test_a_dag_whose_schedule_is_gone_meanwhile_pauses_its_backfill_with_that_reason(mill) -> None:
    mill.add(daily())
    backfill(mill, pump=False)
    document = mill.db.read(lambda c: c.execute(select(tables.dag_version.c.document)).scalar_one())
    changed = json.dumps({**json.loads(document), "timetable": {"type": "null"}})
    mill.db.write(lambda c: c.execute(update(tables.dag_version).values(document=changed)))
    mill.pump()
    assert mill.runs("d") == []
    assert (seen(mill).state, "has no schedule" in seen(mill).reason) == (BackfillState.PAUSED, True)
    mill.db.write(lambda c: c.execute(update(tables.dag_version).values(document=document)))
    mill.restart()  # as versions never change, the scheduler has the one without in memory
    resume(mill)
    assert len(mill.runs("d")) == 6


def test_a_backfill_goes_with_its_dag(mill) -> None:
    mill.add(daily(), paused=True)
    backfill(mill)
    delete_dag(mill.db, mill.clock, "d", actor="test")
    mill.pump()
    assert mill.db.read(list_backfills) == []


# --- dates that have a run -------------------------------------------------------------------------------------------


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


# --- turns -----------------------------------------------------------------------------------------------------------


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


# --- canary and the limit of failures --------------------------------------------------------------------------------


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


# --- cancel ----------------------------------------------------------------------------------------------------------


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


# --- how far it is ---------------------------------------------------------------------------------------------------


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


# --- why a run waits -------------------------------------------------------------------------------------------------


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


# --- versions --------------------------------------------------------------------------------------------------------


def new_version(mill, dag: DAG) -> None:
    """Store a DAG that is known as its parser would after a change of its file."""
    text = dumps(encode(dag))

    def work(connection: Any) -> None:
        old = connection.execute(select(tables.dag_version)).one()._mapping
        values = {**old, "id": None, "number": 2, "document": text, "document_hash": "new"}
        del values["id"]
        made = tables.dag_version.insert().values(**values).returning(tables.dag_version.c.id)
        connection.execute(update(tables.dag).values(version_id=connection.execute(made).scalar_one()))

    mill.db.write(work)


def test_what_is_repeated_runs_in_the_newest_version(mill) -> None:
    mill.add(daily())
    backfill(mill, 1, 1)
    work_through(mill)
    new_version(mill, daily(tasks="tu"))
    backfill(mill, 1, 2, reprocess_behavior=ReprocessBehavior.COMPLETED)
    work_through(mill)
    for day in (1, 2):
        assert mill.states("d", run_id(mill, day)) == {"t": "success", "u": "success"}
    assert {row.lane for row in mill.rows("d", run_id(mill, 1))} == {1}
