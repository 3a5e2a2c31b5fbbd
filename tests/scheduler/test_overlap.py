"""A run that is due while another run of its DAG is active; run types that a DAG does not allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from clockmill import DAG
from clockmill.actions.explain import explain
from clockmill.actions.rerun import Rerun
from clockmill.actions.selection import RunSelection
from clockmill.errors import DagDefinitionError, UsageError
from clockmill.operators.bash import BashOperator
from clockmill.state import RunEnding, RunState, TaskState
from clockmill.storage import tables

FIRST, SECOND, THIRD = (f"scheduled__2026-01-01T0{hour}:00:00+00:00" for hour in (1, 2, 3))


def hourly(overlap: str = "queue", **arguments: object) -> DAG:
    with DAG("d", schedule="@hourly", overlap=overlap, **arguments) as dag:
        BashOperator(task_id="a", bash_command="true") >> BashOperator(task_id="b", bash_command="true")
    return dag


def states(mill) -> dict[str, str]:
    return {row.run_id: str(row.state) for row in mill.runs("d")}


def test_queue_makes_every_run(mill) -> None:
    mill.add(hourly())
    mill.pass_time(hours=1)
    mill.pass_time(hours=1)
    assert states(mill) == {FIRST: "running", SECOND: "running"}


def test_skip_leaves_out_what_is_due_while_a_run_is_active_and_says_which(mill) -> None:
    mill.add(hourly("skip"))
    mill.pass_time(hours=1)
    mill.pass_time(hours=1)
    assert states(mill) == {FIRST: "running"}
    (event,) = mill.events("ticks_dropped")
    assert event.detail["why"] == f"overlap=skip: the run {FIRST} is still running"
    assert event.detail["count"] == 1
    assert event.detail["first"].startswith("2026-01-01T02:00")
    mill.finish("a")
    mill.finish("b")
    mill.pass_time(hours=1)
    assert states(mill) == {FIRST: "success", THIRD: "running"}


def test_skip_counts_runs_by_hand(mill) -> None:
    mill.add(hourly("skip"))
    mill.trigger("d")
    mill.pass_time(hours=1)
    assert states(mill) == {"r1": "running"}


def test_with_catchup_skip_makes_what_was_missed_and_leaves_out_what_comes_meanwhile(mill) -> None:
    mill.add(hourly("skip", catchup=True, start_date=datetime(2025, 12, 31, 22, tzinfo=UTC), max_active_runs=1))
    mill.pump()
    assert list(states(mill).values()) == ["running", "queued", "queued"]
    mill.pass_time(hours=1)
    assert len(states(mill)) == 3
    assert [event.detail["first"][:13] for event in mill.events("ticks_dropped")] == ["2026-01-01T01"]


def test_cancel_ends_the_older_run_and_the_new_one_begins_when_its_tasks_are_gone(mill, monkeypatch) -> None:
    mill.add(hourly("cancel"))
    mill.pass_time(hours=1)
    asked: list[str] = []
    monkeypatch.setattr(mill.executor, "stop_attempts", lambda idents, _reason: asked.extend(idents))
    mill.pass_time(hours=1)
    assert states(mill) == {FIRST: "failed", SECOND: "queued"}
    assert mill.run("d", FIRST).reason == f"overlap=cancel: the run {SECOND} is due"
    assert set(mill.states("d", FIRST).values()) == {TaskState.SKIPPED}
    assert set(asked) == {mill.executor.workload("a").attempt_id}
    mill.pass_time(minutes=1)
    assert states(mill)[SECOND] == "queued"
    why = mill.db.read(lambda c: explain(c, "d", SECOND, "a"))
    assert why.verdict == "The run begins when nothing is left of the run that was cancelled for it (overlap=cancel)."
    assert [holder.what for holder in why.holders] == [f"{FIRST} a"]
    mill.finish("a", "stopped", run_id=FIRST)
    assert states(mill) == {FIRST: "failed", SECOND: "running"}
    assert mill.executor.workload("a").run_id == SECOND
    reasons = [event.detail["reason"] for event in mill.events("run_state") if event.run_id == FIRST]
    assert reasons == [f"overlap=cancel: the run {SECOND} is due"]
    assert mill.run("d", FIRST).ending is RunEnding.OVERLAP
    assert [row.cut_short for row in mill.rows("d", FIRST)] == [True, True]
    mill.change(Rerun(runs=RunSelection(dag_id="d", run_ids=(FIRST,)), from_failure=True))
    assert (states(mill), mill.run("d", FIRST).ending) == ({FIRST: "running", SECOND: "running"}, None)


def test_cancel_ends_a_run_that_still_waits_and_leaves_runs_by_hand_alone(mill) -> None:
    mill.add(hourly("cancel", max_active_runs=1))
    mill.trigger("d")
    mill.pass_time(hours=1)
    mill.pass_time(hours=1)
    assert states(mill) == {"r1": "running", FIRST: "failed", SECOND: "queued"}
    assert mill.run("d", FIRST).ending is RunEnding.OVERLAP
    assert [(row.state, row.cut_short) for row in mill.rows("d", FIRST)] == [(TaskState.SKIPPED, True)] * 2
    mill.finish("a")
    mill.finish("b")
    assert states(mill) == {"r1": "success", FIRST: "failed", SECOND: "running"}


def test_cancel_survives_a_scheduler_that_dies_before_it_stops_the_tasks(mill) -> None:
    mill.add(hourly("cancel"))
    mill.pass_time(hours=1)
    mill.clock.advance(3600)
    mill.service._open_runs.run_once()
    assert states(mill) == {FIRST: "running", SECOND: "queued"}
    mill.restart()
    mill.pump()
    assert states(mill) == {FIRST: "failed", SECOND: "running"}


def test_cancel_and_catchup_together_are_refused() -> None:
    with pytest.raises(DagDefinitionError, match="overlap='cancel' ends the older runs that catchup=True asks for"):
        hourly("cancel", catchup=True).validate()
    with pytest.raises(DagDefinitionError, match="perhaps you mean 'cancel'"):
        hourly("cancle")


# --- allowed_run_types ---------------------------------------------------------------------------------------------


def test_a_run_by_hand_that_is_not_allowed_is_refused(mill) -> None:
    mill.add(hourly(allowed_run_types=["scheduled"]))
    with pytest.raises(UsageError, match="allows no manual runs: its allowed_run_types are scheduled"):
        mill.trigger("d")
    mill.pass_time(hours=1)
    assert states(mill) == {FIRST: "running"}


@pytest.mark.parametrize("schedule", ["@hourly", "@continuous"])
def test_ticks_make_no_runs_where_scheduled_ones_are_not_allowed(mill, schedule: str) -> None:
    with DAG("d", schedule=schedule, allowed_run_types="manual", max_active_runs=1) as dag:
        BashOperator(task_id="a", bash_command="true")
    mill.add(dag)
    mill.db.write(lambda c: c.execute(update(tables.dag).values(next_run_after=mill.clock.now() + timedelta(hours=1))))
    mill.pass_time(hours=2)
    assert mill.runs("d") == []
    mill.trigger("d")
    assert mill.run_state("d") is RunState.RUNNING


def test_a_run_type_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DagDefinitionError, match="perhaps you mean 'manual'"):
        DAG("d", allowed_run_types=["manuel"])
