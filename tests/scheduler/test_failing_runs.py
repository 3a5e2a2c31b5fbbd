"""``fail_fast`` and ``max_consecutive_failed_dag_runs``: what a failure ends."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from clockmill import DAG
from clockmill.actions.dags import set_paused
from clockmill.actions.explain import explain
from clockmill.errors import DagDefinitionError
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.scheduler.steps import advance
from clockmill.state import RunState, TaskState
from clockmill.storage import tables

RUNNING, SUCCESS, FAILED, SKIPPED, UPSTREAM_FAILED = (
    TaskState.RUNNING,
    TaskState.SUCCESS,
    TaskState.FAILED,
    TaskState.SKIPPED,
    TaskState.UPSTREAM_FAILED,
)


def bash(task_id: str, **arguments: Any) -> BashOperator:
    return BashOperator(task_id=task_id, bash_command="true", **arguments)


def branches(**arguments: Any) -> DAG:
    """``a >> b``, ``c >> d``, and ``e``, which waits for a retry."""
    with DAG("d", schedule=None, fail_fast=True, **arguments) as dag:
        bash("a") >> bash("b")
        bash("c") >> bash("d")
        bash("e", retries=1)
    return dag


def test_the_first_failure_stops_what_runs_and_skips_what_waits(mill) -> None:
    mill.add(branches())
    mill.trigger("d")
    mill.finish("e", "failed")
    mill.finish("a", "failed")
    assert mill.states("d") == {"a": FAILED, "b": UPSTREAM_FAILED, "c": FAILED, "d": SKIPPED, "e": SKIPPED}
    assert mill.row("d", "c").reason == mill.row("d", "d").reason == "fail_fast: 'a' failed"
    assert mill.run_state("d") is RunState.FAILED
    assert mill.executor.running() == []


def test_a_failure_with_a_try_left_stops_nothing(mill) -> None:
    mill.add(branches())
    mill.trigger("d")
    mill.finish("e", "failed")
    assert mill.states("d")["c"] is RUNNING
    mill.pass_time(minutes=5)
    mill.finish("e", "failed")
    assert mill.states("d")["c"] is FAILED


def test_teardowns_still_run(mill) -> None:
    with DAG("d", schedule=None, fail_fast=True) as dag:
        make = bash("make").as_setup()
        make >> bash("a") >> bash("drop").as_teardown(setups=make)
        bash("other")
    mill.add(dag)
    mill.trigger("d")
    mill.finish("make")
    mill.finish("other", "failed")
    assert mill.states("d") == {"make": SUCCESS, "a": FAILED, "other": FAILED, "drop": RUNNING}
    mill.finish("drop")
    assert mill.run_state("d") is RunState.FAILED


def test_a_failed_teardown_is_no_reason_to_stop(mill) -> None:
    with DAG("d", schedule=None, fail_fast=True) as dag:
        bash("make").as_setup() >> bash("drop").as_teardown()
        bash("other")
    mill.add(dag)
    mill.trigger("d")
    mill.finish("make")
    mill.finish("drop", "failed")
    assert mill.states("d")["other"] is RUNNING


def test_a_cleared_task_runs_although_another_is_still_failed(mill) -> None:
    mill.add(branches())
    mill.trigger("d")
    mill.finish("a", "failed")
    mill.clear("d", "c")
    assert mill.executor.running() == ["c"]
    mill.finish("c")
    mill.finish("d")
    assert mill.run_state("d") is RunState.FAILED


def test_a_run_is_failed_although_its_leaves_were_left_out(mill) -> None:
    with DAG("d", schedule=None, fail_fast=True) as dag:
        bash("a") >> EmptyOperator(task_id="end") << bash("b")
    mill.add(dag)
    mill.trigger("d")
    mill.finish("b", "skipped")
    mill.finish("a", "failed")
    assert mill.states("d") == {"a": FAILED, "b": SKIPPED, "end": SKIPPED}
    assert mill.run_state("d") is RunState.FAILED


def test_other_trigger_rules_do_not_go_with_it() -> None:
    with DAG("d", schedule=None, fail_fast=True) as dag:
        bash("a") >> bash("b", trigger_rule="all_done")
    with pytest.raises(DagDefinitionError, match=r"fail_fast.*'b' cannot have trigger_rule='all_done'"):
        dag.validate()


# --- runs that fail one after another --------------------------------------------------------


def failing(limit: int = 2) -> DAG:
    with DAG("d", schedule=None, max_consecutive_failed_dag_runs=limit) as dag:
        bash("a")
    return dag


def run(mill, name: str, outcome: str) -> None:
    mill.clock.advance(1)
    mill.trigger("d", name)
    mill.finish("a", outcome)


def is_paused(mill) -> bool:
    return mill.db.read(lambda c: c.execute(select(tables.dag.c.is_paused)).scalar_one())


def test_a_dag_is_paused_when_so_many_runs_failed_in_a_row(mill) -> None:
    mill.add(failing())
    for number, outcome in enumerate(["failed", "success", "failed"]):
        run(mill, f"r{number}", outcome)
    assert not is_paused(mill)
    run(mill, "r3", "failed")
    assert is_paused(mill)
    reason = "max_consecutive_failed_dag_runs=2: the newest runs failed: r3, r2"
    assert [(event.dag_id, event.detail["reason"]) for event in mill.events("dag_paused")] == [("d", reason)]
    mill.clock.advance(1)
    mill.trigger("d", "r4")
    answer = mill.db.read(lambda c: explain(c, "d", "r4", "a"))
    assert "is paused" in answer.verdict
    assert answer.details == [reason]


def test_a_dag_that_is_unpaused_has_all_of_its_chances_again(mill) -> None:
    mill.add(failing())
    run(mill, "r1", "failed")
    run(mill, "r2", "failed")
    set_paused(mill.db, mill.clock, "d", paused=False, actor="test")
    run(mill, "r3", "failed")
    assert not is_paused(mill)
    run(mill, "r4", "failed")
    assert is_paused(mill)


def test_no_run_begins_when_the_scheduler_died_before_it_could_pause_the_dag(mill, monkeypatch) -> None:
    mill.add(failing())
    run(mill, "r1", "failed")
    monkeypatch.setattr(advance, "pause_if_failing", lambda *_: None)
    run(mill, "r2", "failed")
    assert not is_paused(mill)
    mill.restart()
    mill.clock.advance(1)
    mill.trigger("d", "r3")
    assert is_paused(mill)
    assert mill.run_state("d", "r3") is RunState.QUEUED


def test_runs_that_still_go_do_not_count(mill) -> None:
    mill.add(failing())
    mill.trigger("d", "r0")
    run_ids = ["r1", "r2"]
    for run_id in run_ids:
        mill.clock.advance(1)
        mill.trigger("d", run_id)
    mill.executor.finish("a", "failed", run_id="r0")
    mill.pump()
    assert not is_paused(mill)
    mill.executor.finish("a", "failed", run_id="r2")
    mill.pump()
    assert is_paused(mill)
