"""Mapped tasks and groups, setups and teardowns, as a real scheduler works them off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clockmill import DAG, setup, task, task_group, teardown
from clockmill.actions.explain import explain
from clockmill.errors import NotFound
from clockmill.state import RunState, TaskState

SUCCESS, FAILED, SKIPPED = TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED


def returns(value: Any) -> dict[str, Any]:
    """The report of a task that returned ``value``."""
    return {"xcoms": [("return_value", json.dumps(value))]}


def states(mill: Any, task_id: str, dag_id: str = "d") -> list[TaskState]:
    """The states of a task's instances by map index."""
    rows = [row for row in mill.rows(dag_id) if row.task_id == task_id]
    return [row.state for row in sorted(rows, key=lambda row: row.map_index)]


def indexes(mill: Any) -> list[tuple[str, int]]:
    """What the executor holds."""
    return sorted((workload.task_id, workload.map_index) for workload in mill.executor.held.values())


def mapped_dag(**arguments: Any) -> DAG:
    with DAG("d", schedule=None, **arguments) as dag:

        @task
        def numbers() -> list[int]: ...

        @task
        def work(number: int) -> int: ...

        @task
        def total(found: Any) -> int: ...

        total(work.expand(number=numbers()))
    return dag


def test_a_list_of_three_makes_three_instances_and_the_reduce_waits_for_all(mill: Any) -> None:
    mill.add(mapped_dag())
    mill.trigger("d")
    mill.finish("numbers", **returns([1, 2, 3]))
    assert indexes(mill) == [("work", 0), ("work", 1), ("work", 2)]
    assert [w.item for w in mill.executor.held.values()] == [0, 1, 2]
    for index in (2, 0, 1):
        assert "total" not in mill.executor.running()
        mill.finish("work", map_index=index, label=f"number {index}")
    assert indexes(mill) == [("total", -1)]
    mill.finish("total")
    assert mill.run_state("d") is RunState.SUCCESS
    assert sorted(row.label for row in mill.rows("d") if row.task_id == "work") == ["number 0", "number 1", "number 2"]


def test_an_empty_list_skips_the_mapped_task_and_what_follows(mill: Any) -> None:
    mill.add(mapped_dag())
    mill.trigger("d")
    mill.finish("numbers", **returns([]))
    assert states(mill, "work") == [SKIPPED]
    assert states(mill, "total") == [SKIPPED]
    assert mill.run_state("d") is RunState.SUCCESS


@pytest.mark.parametrize("xcoms", [{}, returns(5), returns("text")])
def test_a_value_that_is_no_list_cannot_be_mapped(mill: Any, xcoms: dict[str, Any]) -> None:
    mill.add(mapped_dag())
    mill.trigger("d")
    mill.finish("numbers", **xcoms)
    assert states(mill, "work") == [TaskState.UPSTREAM_FAILED]
    assert "no list or dictionary" in mill.row("d", "work").reason
    assert mill.run_state("d") is RunState.FAILED


def test_one_instance_is_retried_alone(mill: Any) -> None:
    mill.add(mapped_dag(default_args={"retries": 1, "retry_delay": 60}))
    mill.trigger("d")
    mill.finish("numbers", **returns([1, 2]))
    mill.finish("work", "failed", map_index=1)
    mill.finish("work", map_index=0)
    assert states(mill, "work") == [SUCCESS, TaskState.UP_FOR_RETRY]
    mill.pass_time(seconds=60)
    assert indexes(mill) == [("work", 1)]
    assert mill.executor.workload("work").try_number == 2


def test_an_expansion_survives_a_restart_of_the_scheduler(mill: Any) -> None:
    mill.add(mapped_dag())
    mill.trigger("d")
    mill.finish("numbers", **returns([1, 2]))
    mill.finish("work", map_index=0)
    mill.restart()
    mill.pump()
    assert indexes(mill) == [("work", 1)]
    mill.finish("work", map_index=1)
    assert indexes(mill) == [("total", -1)]


def test_the_instances_of_a_mapped_group_do_not_wait_for_each_other(mill: Any) -> None:
    with DAG("d", schedule=None) as dag:

        @task
        def first(x: int) -> list[int]: ...

        @task
        def second(y: int) -> None: ...

        @task_group
        def pair(x: int) -> Any:
            return second.expand(y=first(x))

        @task
        def end(found: Any) -> None: ...

        end(pair.expand(x=[1, 2]))
    mill.add(dag)
    mill.trigger("d")
    assert indexes(mill) == [("pair.first", 0), ("pair.first", 1)]
    assert [w.scope for w in mill.executor.held.values()] == ["0", "1"]
    mill.finish("pair.first", map_index=1, **returns([7, 8]))
    assert indexes(mill) == [("pair.first", 0), ("pair.second", 0), ("pair.second", 1)]
    mill.finish("pair.first", map_index=0, **returns([9]))
    for index in (0, 1, 2):
        assert "end" not in mill.executor.running()
        mill.finish("pair.second", map_index=index)
    assert {w.scope for w in mill.executor.held.values()} == {""}
    mill.finish("end")
    assert mill.run_state("d") is RunState.SUCCESS


def test_ten_thousand_instances_are_made_at_once_and_worked_off_in_order(mill: Any) -> None:
    mill.add(mapped_dag(max_active_tasks=20_000))
    mill.trigger("d")
    mill.finish("numbers", **returns(list(range(10_000))))
    rows = [row for row in mill.rows("d") if row.task_id == "work"]
    assert [row.map_index for row in rows] == list(range(10_000))
    assert [index for _, index in indexes(mill)] == list(range(16))
    mill.finish("work", map_index=0)
    assert [index for _, index in indexes(mill)] == list(range(1, 17))


def test_more_elements_than_allowed_fail_the_task_and_name_both_numbers(mill: Any) -> None:
    mill.add(mapped_dag())
    mill.trigger("d")
    mill.finish("numbers", **returns([0] * 10_001))
    assert states(mill, "work") == [FAILED]
    assert mill.row("d", "work").reason == "10,001 instances are more than [core] max_map_length allows: 10,000"


# --- setups and teardowns -------------------------------------------------------------------------------------------


def cluster_dag(**arguments: Any) -> DAG:
    with DAG("d", schedule=None) as dag:

        @setup
        def create() -> None: ...

        @task
        def work() -> None: ...

        @teardown(**arguments)
        def delete() -> None: ...

        up = create()
        down = delete()
        up >> work() >> down
        up >> down
    return dag


def test_a_teardown_runs_after_the_work_failed_and_the_run_fails_by_the_work(mill: Any) -> None:
    mill.add(cluster_dag())
    mill.trigger("d")
    mill.finish("create")
    mill.finish("work", "failed")
    assert mill.executor.running() == ["delete"]
    mill.finish("delete")
    assert mill.run_state("d") is RunState.FAILED


def test_a_teardown_does_not_run_when_its_setup_did_not(mill: Any) -> None:
    mill.add(cluster_dag())
    mill.trigger("d")
    mill.finish("create", "failed")
    assert states(mill, "delete") == [TaskState.UPSTREAM_FAILED]
    assert mill.executor.running() == []


@pytest.mark.parametrize(("fails", "outcome"), [(False, RunState.SUCCESS), (True, RunState.FAILED)])
def test_a_failed_teardown_fails_the_run_only_when_asked_to(mill: Any, fails: bool, outcome: RunState) -> None:
    mill.add(cluster_dag(on_failure_fail_dagrun=fails))
    mill.trigger("d")
    mill.finish("create")
    mill.finish("work")
    mill.finish("delete", "failed")
    assert mill.run_state("d") is outcome


def test_why_tells_of_the_instance_that_waits_and_names_few_of_many(mill: Any) -> None:
    mill.add(mapped_dag())
    mill.trigger("d")
    mill.finish("numbers", **returns(list(range(30))))
    mill.finish("work", map_index=0)

    def why(task_id: str, map_index: int = -1) -> Any:
        return mill.db.read(lambda c: explain(c, "d", "r1", task_id, map_index))

    assert "max_active_tasks" in why("work", 29).verdict
    assert "max_active_tasks" in why("work").verdict
    assert why("work").details[0].startswith("This is the instance 17 of 30: 13 scheduled, 16 running")
    assert why("work", 0).state is SUCCESS
    waits = why("total")
    assert waits.verdict == "It waits for upstream tasks: all_success: 1 of 30 upstream tasks are done."
    assert waits.details[0] == "work[1] is running"
    assert waits.details[-1] == "and 9 more"
    with pytest.raises(NotFound, match="no instance 30: its map indexes go from 0 to 29"):
        why("work", 30)
