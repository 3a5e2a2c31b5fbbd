"""Clear, mark, stop and run again: what the preview says, and what becomes of the runs under a real scheduler."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from clockmill import DAG, task
from clockmill.actions.change import apply, preview
from clockmill.actions.clear import Clear
from clockmill.actions.mark import MarkTasks
from clockmill.actions.mark_runs import MarkRuns, StopRuns
from clockmill.actions.rerun import Rerun
from clockmill.actions.selection import RunSelection, TaskSelection
from clockmill.errors import Conflict, NotFound
from clockmill.operators.bash import BashOperator
from clockmill.state import RunEnding, RunState, TaskState
from clockmill.storage import tables

NONE, SUCCESS, FAILED, SKIPPED = TaskState.NONE, TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED
UPSTREAM_FAILED, REMOVED, RESTARTING = TaskState.UPSTREAM_FAILED, TaskState.REMOVED, TaskState.RESTARTING


def bash(name: str, **arguments: Any) -> BashOperator:
    return BashOperator(task_id=name, bash_command="true", **arguments)


def chain_dag(**arguments: Any) -> DAG:
    with DAG("d", schedule=None, **arguments) as dag:
        bash("a") >> bash("b") >> bash("c")
    return dag


def cluster_dag() -> DAG:
    """A setup, two tasks one after the other, a teardown."""
    with DAG("d", schedule=None) as dag:
        create, delete = bash("create"), bash("delete")
        create >> bash("first") >> bash("second") >> delete.as_teardown(setups=create)
    return dag


def runs(*run_ids: str, **range_: datetime) -> RunSelection:
    return RunSelection(dag_id="d", run_ids=run_ids or (() if range_ else ("r1",)), **range_)


def tasks(*names: str, **which: Any) -> TaskSelection:
    return TaskSelection(names=tuple((name, None) for name in names), **which)


def shown(preview_: Any) -> list[tuple[str | None, str, str]]:
    return [(line.task_id, line.state, line.becomes) for line in preview_.lines()]


def fail_b(mill: Any) -> None:
    """Let a run of the chain fail at its second task."""
    mill.trigger("d")
    mill.finish("a")
    mill.finish("b", "failed")
    assert mill.run_state("d") is RunState.FAILED


def xcoms(mill: Any) -> list[str]:
    return list(mill.db.read(lambda c: c.execute(select(tables.xcom.c.task_id)).scalars().all()))


# --- clear: many runs, versions, what is in the way ---------------------------------------------------------------


def test_many_runs_are_changed_at_once_or_not_at_all(mill: Any) -> None:
    mill.add(chain_dag())
    for day in (1, 2, 3):
        mill.trigger("d", f"r{day}", logical_date=datetime(2025, 1, day, tzinfo=UTC))
        mill.finish("a", "failed", run_id=f"r{day}")
    request = Clear(
        runs=runs(since=datetime(2025, 1, 2, tzinfo=UTC), until=datetime(2025, 1, 3, tzinfo=UTC)), tasks=tasks("a")
    )
    seen = mill.db.read(lambda c: preview(c, request))
    assert [line.run_id for line in seen.lines() if line.task_id] == ["r2", "r3"]

    mill.clear("d", "a", run_id="r3", downstream=False)
    with pytest.raises(Conflict, match="changed in between"):
        apply(mill.db, mill.clock, request, fingerprint=seen.fingerprint, actor="test")
    assert mill.states("d", "r2")["a"] is FAILED

    mill.change(request)
    assert [mill.states("d", f"r{day}")["a"] for day in (1, 2, 3)] == [FAILED, TaskState.RUNNING, TaskState.RUNNING]
    assert [event.run_id for event in mill.events("tasks_cleared")] == ["r3", "r2", "r3"]


def test_the_last_moment_of_a_range_is_in_it_and_the_next_is_not(mill: Any) -> None:
    mill.add(chain_dag())
    moment = datetime(2025, 1, 2, 6, tzinfo=UTC)
    mill.trigger("d", logical_date=moment)
    mill.finish("a", "failed")
    instant = timedelta(microseconds=1)

    def is_in(**range_: datetime) -> bool:
        return not mill.db.read(lambda c: preview(c, Clear(runs=runs(**range_)))).is_empty

    assert is_in(since=moment, until=moment)
    assert not is_in(since=moment + instant)
    assert not is_in(until=moment - instant)


def test_a_run_that_does_not_exist_is_answered_with_the_nearest(mill: Any) -> None:
    mill.add(chain_dag())
    mill.trigger("d", "sunday")
    with pytest.raises(NotFound, match="Did you mean 'sunday'"):
        mill.db.read(lambda c: preview(c, Clear(runs=runs("sundya"))))


def test_the_preview_says_of_each_state_what_becomes_of_it(mill: Any) -> None:
    with DAG("d", schedule=None, default_args={"retries": 1, "retry_delay": timedelta(hours=1)}) as dag:
        for name in ("done", "retried", "at_work"):
            bash(name)
        bash("broken", retries=0) >> bash("kept")
    mill.add(dag)
    mill.trigger("d")
    mill.finish("done")
    mill.finish("retried", "failed")
    mill.finish("broken", "failed")
    assert sorted(shown(mill.clear("d"))) == [
        ("at_work", "running", "is stopped, then runs again"),
        ("broken", "failed", "runs again"),
        ("done", "success", "runs again"),
        ("kept", "upstream_failed", "is decided again"),
        ("retried", "up_for_retry", "begins afresh"),
    ]
    row = mill.row("d", "retried")
    assert (row.state, row.due_at, row.try_number, row.max_tries) == (TaskState.RUNNING, None, 2, 3)


def test_the_newest_version_takes_over_the_whole_run(mill: Any) -> None:
    mill.add(chain_dag())
    fail_b(mill)
    with DAG("d", schedule=None) as newer:
        bash("a") >> bash("b", pool="default_pool", priority_weight=7) >> bash("z")
    mill.release(newer)

    request = Clear(runs=runs(), tasks=tasks("b"), newest_version=True)
    assert shown(mill.change(request)) == [
        (None, "failed", "queued, newest version"),
        ("b", "failed", "runs again"),
        ("c", "upstream_failed", "removed"),
        ("z", "", "is new"),
    ]
    assert mill.row("d", "b").priority == 8
    mill.finish("b")
    mill.finish("z")
    assert mill.states("d") == {"a": SUCCESS, "b": SUCCESS, "c": REMOVED, "z": SUCCESS}
    assert mill.run_state("d") is RunState.SUCCESS
    assert mill.row("d", "a").try_number == 1


def test_a_task_that_an_older_version_had_and_a_newer_one_has_again_comes_back(mill: Any) -> None:
    mill.add(chain_dag())
    fail_b(mill)
    with DAG("d", schedule=None) as newer:
        bash("a")
    mill.release(newer)
    mill.change(Clear(runs=runs(), tasks=tasks("a"), newest_version=True))
    mill.finish("a")
    assert mill.states("d") == {"a": SUCCESS, "b": REMOVED, "c": REMOVED}
    mill.release(chain_dag(), number=3)
    mill.change(Clear(runs=runs(), tasks=tasks("c"), newest_version=True))
    assert mill.executor.running() == ["b"]


def test_a_task_that_is_mapped_in_the_newest_version_begins_afresh(mill: Any) -> None:
    def dag(is_mapped: bool) -> DAG:
        @task
        def work(number: int) -> int: ...

        with DAG("d", schedule=None) as made:
            work.expand(number=[1, 2]) if is_mapped else work(1)
        return made

    mill.add(dag(False))
    mill.trigger("d")
    mill.finish("work")
    mill.release(dag(True))
    mill.change(Clear(runs=runs(), tasks=tasks(only_failed=True), newest_version=True))
    assert sorted(workload.map_index for workload in mill.executor.held.values()) == [0, 1]
    mill.release(dag(False), number=3)
    mill.change(Clear(runs=runs(), tasks=tasks(only_failed=True), newest_version=True))
    assert [workload.map_index for workload in mill.executor.held.values()] == [-1]
    assert sorted(row.state for row in mill.rows("d")) == ["removed", "removed", "running"]


def test_one_instance_of_a_mapped_task_runs_again_alone(mill: Any) -> None:
    with DAG("d", schedule=None) as dag:

        @task
        def numbers() -> list[int]: ...

        @task
        def work(number: int) -> int: ...

        work.expand(number=numbers())
    mill.add(dag)
    mill.trigger("d")
    mill.finish("numbers", xcoms=[("return_value", json.dumps([1, 2, 3]))])
    for index in range(3):
        mill.finish("work", map_index=index, xcoms=[("return_value", "1")], label=f"n{index}")
    mill.change(Clear(runs=runs(), tasks=TaskSelection(names=(("work", 1),))))
    assert [(w.task_id, w.map_index, w.item) for w in mill.executor.held.values()] == [("work", 1, 1)]
    assert sorted(xcoms(mill)) == ["numbers", "work", "work"]
    mill.finish("work", map_index=1)

    mill.clear("d", "numbers")
    mill.finish("numbers", xcoms=[("return_value", json.dumps([1]))])
    assert [w.map_index for w in mill.executor.held.values()] == [0]
    mill.finish("work", map_index=0)
    assert sorted(row.state for row in mill.rows("d")) == ["removed", "removed", "success", "success"]


def test_a_finished_task_whose_old_attempt_is_still_being_stopped_waits_for_that(mill: Any) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    really, mill.executor.stop_attempts = mill.executor.stop_attempts, lambda ids, reason: None
    mill.change(MarkTasks(runs=runs(), tasks=tasks("a"), state=FAILED))
    assert mill.states("d")["a"] is FAILED
    mill.clear("d", "a")
    assert mill.states("d")["a"] is RESTARTING
    assert len(mill.executor.submissions) == 1
    mill.executor.stop_attempts = really
    mill.finish("a", "success", xcoms=[("return_value", "1")])
    assert len(mill.executor.submissions) == 2
    assert xcoms(mill) == []


def test_setups_and_teardowns_run_again_with_what_they_are_for(mill: Any) -> None:
    mill.add(cluster_dag())
    mill.trigger("d")
    for name in ("create", "first", "second", "delete"):
        mill.finish(name)
    mill.clear("d", "second", downstream=False)
    assert mill.states("d")["first"] is SUCCESS
    for name in ("create", "second", "delete"):
        assert mill.executor.running() == [name]
        mill.finish(name)
    assert mill.run_state("d") is RunState.SUCCESS


# --- mark tasks -------------------------------------------------------------------------------------------------------


def test_a_failed_task_that_is_marked_success_lets_the_run_go_on(mill: Any) -> None:
    mill.add(chain_dag())
    fail_b(mill)
    request = MarkTasks(runs=runs(), tasks=tasks("b"), state=SUCCESS)
    assert shown(mill.change(request)) == [
        (None, "failed", "queued"),
        ("b", "failed", "success"),
        ("c", "upstream_failed", "is decided again"),
    ]
    assert mill.executor.running() == ["c"]
    mill.finish("c")
    assert mill.run_state("d") is RunState.SUCCESS
    assert mill.row("d", "b").reason == "marked success by test"
    assert [(event.actor, event.detail["tasks"]) for event in mill.events("tasks_marked")] == [("test", ["b", "c"])]


def test_marked_with_what_is_below_nothing_of_it_runs(mill: Any) -> None:
    mill.add(chain_dag())
    fail_b(mill)
    mill.change(MarkTasks(runs=runs(), tasks=tasks("b", downstream=True), state=SUCCESS))
    assert mill.states("d") == dict.fromkeys("abc", SUCCESS)
    assert mill.run_state("d") is RunState.SUCCESS
    assert mill.executor.running() == []


@pytest.mark.parametrize(
    ("ended", "marked", "outcome"),
    [
        ("failed", SUCCESS, RunState.SUCCESS),
        ("failed", SKIPPED, RunState.SUCCESS),
        ("success", FAILED, RunState.FAILED),
        ("success", SKIPPED, RunState.SUCCESS),
    ],
)
def test_a_finished_run_is_judged_anew_by_its_leaves(
    mill: Any, ended: str, marked: TaskState, outcome: RunState
) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a")
    mill.finish("b")
    mill.finish("c", ended, xcoms=[("return_value", "1")])
    over = mill.run("d").end_date
    mill.change(MarkTasks(runs=runs(), tasks=tasks("c"), state=marked))
    assert (mill.states("d")["c"], mill.run_state("d"), mill.run("d").end_date) == (marked, outcome, over)
    assert xcoms(mill) == []


def test_a_run_that_was_timed_out_stays_failed_when_a_task_of_it_is_marked(mill: Any) -> None:
    mill.add(chain_dag(dagrun_timeout=timedelta(minutes=1)))
    mill.trigger("d")
    mill.pass_time(minutes=1)
    mill.change(MarkTasks(runs=runs(), tasks=tasks("a"), state=SUCCESS))
    assert (mill.states("d")["a"], mill.run_state("d")) == (SUCCESS, RunState.FAILED)


def test_the_result_of_a_running_task_that_is_marked_does_not_count(mill: Any) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    really, mill.executor.stop_attempts = mill.executor.stop_attempts, lambda ids, reason: None
    first = mill.executor.workload("a").attempt_id
    mill.change(MarkTasks(runs=runs(), tasks=tasks("a"), state=SUCCESS))
    assert mill.executor.running() == ["a", "b"]
    mill.executor.stop_attempts = really
    mill.finish("a", "failed", xcoms=[("return_value", "1")])
    assert mill.states("d")["a"] is SUCCESS
    assert xcoms(mill) == []
    ended = mill.db.read(lambda c: c.execute(select(tables.attempt.c.state).where(tables.attempt.c.id == first)).one())
    assert ended.state == "stopped"


def test_a_task_that_has_not_begun_is_marked_before_its_time(mill: Any) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.change(MarkTasks(runs=runs(), tasks=tasks("c"), state=FAILED))
    mill.finish("a")
    mill.finish("b")
    assert mill.run_state("d") is RunState.FAILED


def test_what_is_as_it_is_to_be_is_left_alone(mill: Any) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", xcoms=[("return_value", "1")])
    assert mill.change(MarkTasks(runs=runs(), tasks=tasks("a"), state=SUCCESS)).is_empty
    assert xcoms(mill) == ["a"]


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_that_is_stopped_fails_and_its_tasks_are_stopped(mill: Any) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    attempt = mill.executor.workload("a").attempt_id
    assert shown(mill.change(StopRuns(runs=runs()))) == [
        (None, "running", "failed"),
        ("a", "running", "is stopped: failed"),
        ("b", "none", "skipped"),
        ("c", "none", "skipped"),
    ]
    assert mill.executor.stopped == [attempt]
    assert mill.states("d") == {"a": FAILED, "b": SKIPPED, "c": SKIPPED}
    assert (mill.run_state("d"), mill.run("d").reason) == (RunState.FAILED, "run stopped by test")
    assert mill.change(StopRuns(runs=runs())).is_empty


def test_a_run_that_is_stopped_is_stopped_once_also_by_a_scheduler_that_comes_later(mill: Any) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    really, mill.executor.stop_attempts = mill.executor.stop_attempts, lambda ids, reason: None
    mill.change(StopRuns(runs=runs()))
    mill.executor.stop_attempts = really
    mill.restart()
    mill.pump()
    assert len(mill.executor.stopped) == 1
    assert mill.executor.running() == []


def test_a_teardown_that_has_something_to_clean_up_still_does_before_the_stopped_run_fails(mill: Any) -> None:
    mill.add(cluster_dag())
    mill.trigger("d")
    mill.finish("create")
    assert shown(mill.change(StopRuns(runs=runs()))) == [
        (None, "running", "fails when its teardowns are done"),
        ("first", "running", "is stopped: failed"),
        ("second", "none", "failed"),
    ]
    assert mill.executor.running() == ["delete"]
    assert mill.run("d").ending is RunEnding.STOPPED
    mill.finish("delete")
    assert (mill.run_state("d"), mill.run("d").ending) == (RunState.FAILED, RunEnding.STOPPED)


def test_a_run_that_was_being_stopped_and_has_its_tasks_cleared_is_ended_no_more(mill: Any) -> None:
    mill.add(cluster_dag())
    mill.trigger("d")
    mill.finish("create")
    mill.change(StopRuns(runs=runs()))
    mill.change(Clear(runs=runs(), tasks=tasks("second")))
    assert (mill.run_state("d"), mill.run("d").ending) == (RunState.RUNNING, None)
    assert [mill.row("d", name).cut_short for name in ("first", "second")] == [True, False]


def test_a_teardown_is_stopped_too_when_it_is_all_that_is_left_or_has_nothing_to_clean_up(mill: Any) -> None:
    mill.add(cluster_dag())
    mill.trigger("d")
    mill.change(StopRuns(runs=runs()))
    assert mill.states("d") == {"create": FAILED, "first": SKIPPED, "second": SKIPPED, "delete": SKIPPED}
    mill.trigger("d", "r2", logical_date=datetime(2025, 1, 1, tzinfo=UTC))
    for name in ("create", "first", "second"):
        mill.finish(name)
    mill.change(StopRuns(runs=runs("r2")))
    assert mill.states("d", "r2")["delete"] is FAILED
    assert mill.run_state("d", "r2") is RunState.FAILED


@pytest.mark.parametrize(
    ("mark", "expected", "outcome"),
    [
        (SUCCESS, [SUCCESS, SUCCESS, SUCCESS], RunState.SUCCESS),
        (FAILED, [SUCCESS, FAILED, SKIPPED], RunState.FAILED),
        (SKIPPED, [SUCCESS, SKIPPED, SKIPPED], RunState.SUCCESS),
    ],
)
def test_a_running_run_is_marked(mill: Any, mark: TaskState, expected: list[TaskState], outcome: RunState) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", xcoms=[("return_value", "1")])
    mill.change(MarkRuns(runs=runs(), state=mark))
    assert list(mill.states("d").values()) == expected
    assert mill.run_state("d") is outcome
    assert mill.executor.running() == []
    assert xcoms(mill) == ["a"]
    assert [event.detail["state"] for event in mill.events("run_marked")] == [mark.value]


def test_a_finished_run_is_marked(mill: Any) -> None:
    mill.add(chain_dag())
    fail_b(mill)
    assert mill.change(MarkRuns(runs=runs(), state=SKIPPED)).is_empty
    mill.change(MarkRuns(runs=runs(), state=SUCCESS))
    assert (set(mill.states("d").values()), mill.run_state("d")) == ({SUCCESS}, RunState.SUCCESS)
    mill.change(MarkRuns(runs=runs(), state=FAILED))
    assert (set(mill.states("d").values()), mill.run_state("d")) == ({SUCCESS}, RunState.FAILED)


def test_a_queued_run_is_stopped_before_it_begins(mill: Any) -> None:
    mill.add(chain_dag(max_active_runs=1))
    mill.trigger("d")
    mill.trigger("d", "r2", logical_date=datetime(2025, 1, 1, tzinfo=UTC))
    mill.change(StopRuns(runs=runs("r2")))
    assert set(mill.states("d", "r2").values()) == {SKIPPED}
    assert mill.run_state("d", "r2") is RunState.FAILED


# --- run again --------------------------------------------------------------------------------------------------------


def test_a_run_goes_on_from_its_failure_and_keeps_its_successes(mill: Any) -> None:
    with DAG("d", schedule=None) as dag:
        bash("a") >> bash("b") >> [bash("c"), bash("told", trigger_rule="one_failed"), bash("rest")]
        bash("other") >> bash("also")
    mill.add(dag)
    mill.trigger("d")
    for name in ("a", "other", "also"):
        mill.finish(name)
    mill.finish("b", "failed")
    mill.finish("told")
    seen = mill.change(Rerun(runs=runs(), from_failure=True))
    assert {line.task_id for line in seen.lines() if line.task_id} == {"b", "c", "rest"}
    mill.finish("b")
    mill.finish("c")
    mill.finish("rest")
    assert set(mill.states("d").values()) == {SUCCESS}
    assert [mill.row("d", name).try_number for name in ("a", "b", "told")] == [1, 2, 1]


@pytest.mark.parametrize(
    "cut_short", [RunEnding.STOPPED, RunEnding.MARKED, RunEnding.TIMEOUT, RunEnding.FAIL_FAST], ids=str
)
def test_what_was_cut_short_goes_on_too(mill: Any, cut_short: RunEnding) -> None:
    with DAG("d", schedule=None, dagrun_timeout=timedelta(minutes=1), fail_fast=True) as dag:
        bash("a") >> bash("b")
        bash("c") >> bash("rest")
        bash("x") >> bash("y")
    mill.add(dag)
    mill.trigger("d")
    mill.finish("x")
    mill.finish("y")
    if cut_short is RunEnding.TIMEOUT:
        mill.pass_time(minutes=1)
    elif cut_short is RunEnding.FAIL_FAST:
        mill.finish("a", "failed")
    elif cut_short is RunEnding.STOPPED:
        mill.change(StopRuns(runs=runs()))
    else:
        mill.change(MarkRuns(runs=runs(), state=FAILED))
    assert (mill.run_state("d"), mill.run("d").ending) == (RunState.FAILED, cut_short)
    assert [row.task_id for row in mill.rows("d") if row.cut_short] == (
        ["c", "rest"] if cut_short is RunEnding.FAIL_FAST else ["a", "b", "c", "rest"]
    )
    mill.change(Rerun(runs=runs(), from_failure=True))
    for name in ("a", "b", "c", "rest"):
        mill.finish(name)
    assert (mill.run_state("d"), mill.run("d").ending) == (RunState.SUCCESS, None)
    assert not any(row.cut_short for row in mill.rows("d"))
    assert [mill.row("d", name).try_number for name in "xy"] == [1, 1]


def test_a_task_that_a_person_skipped_stays_skipped_when_the_run_goes_on(mill: Any) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.change(MarkTasks(runs=runs(), tasks=tasks("a"), state=SKIPPED))
    assert mill.run_state("d") is RunState.SUCCESS
    assert mill.change(Rerun(runs=runs(), from_failure=True)).is_empty


def test_a_task_that_skipped_itself_stays_skipped_whatever_it_says(mill: Any) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", "skipped", reason="run stopped: fail_fast")
    assert mill.row("d", "a").reason == "run stopped: fail_fast"
    assert mill.change(Rerun(runs=runs(), from_failure=True)).is_empty


def test_all_of_a_run_runs_again(mill: Any) -> None:
    mill.add(chain_dag())
    fail_b(mill)
    mill.change(Rerun(runs=runs()))
    for name in "abc":
        mill.finish(name)
    assert [mill.row("d", name).try_number for name in "abc"] == [2, 2, 1]
    assert mill.run_state("d") is RunState.SUCCESS
