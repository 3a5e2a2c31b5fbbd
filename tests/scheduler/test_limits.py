"""Pools, ``max_active_tasks``, ``max_active_runs`` and slots: never exceeded, and nobody is held back by others."""

from __future__ import annotations

from sqlalchemy import insert, update

from clockmill import DAG
from clockmill.operators.bash import BashOperator
from clockmill.state import RunState, TaskState
from clockmill.storage import tables
from clockmill.testing.executor import ScriptedExecutor


def wide_dag(dag_id: str, width: int, *, task_arguments: dict[str, object] | None = None, **arguments: object) -> DAG:
    with DAG(dag_id, schedule=None, **arguments) as dag:
        for number in range(width):
            BashOperator(task_id=f"{dag_id}{number}", bash_command="true", **(task_arguments or {}))
    return dag


def make_pool(mill, name: str, slots: int) -> None:
    mill.db.write(lambda c: c.execute(insert(tables.pool).values(name=name, slots=slots)))


def test_no_more_tasks_of_a_run_than_max_active_tasks(mill) -> None:
    mill.add(wide_dag("d", 5, max_active_tasks=2))
    mill.trigger("d")
    assert len(mill.executor.running()) == 2
    mill.finish(mill.executor.running()[0])
    assert len(mill.executor.running()) == 2


def test_no_more_tasks_than_the_executor_has_slots(mill) -> None:
    mill.executor.info = mill.executor.info.__class__(id="s", host="h", boot_id="b", pid=1, slots=3)
    mill.restart()
    mill.add(wide_dag("d", 8))
    mill.trigger("d")
    assert len(mill.executor.running()) == 3


def test_a_pool_is_never_exceeded_and_counts_slots(mill) -> None:
    make_pool(mill, "small", 3)
    mill.add(wide_dag("d", 4, task_arguments={"pool": "small", "pool_slots": 2}))
    mill.trigger("d")
    assert len(mill.executor.running()) == 1


def test_a_full_pool_holds_back_nobody_else(mill) -> None:
    make_pool(mill, "small", 1)
    mill.add(wide_dag("a", 100, task_arguments={"pool": "small", "priority_weight": 100}, max_active_tasks=100))
    mill.add(wide_dag("b", 1))
    mill.trigger("a")
    mill.trigger("b")
    assert "b0" in mill.executor.running()
    assert len(mill.executor.running()) == 2


def test_a_run_at_its_limit_holds_back_nobody_else(mill) -> None:
    mill.add(wide_dag("a", 200, task_arguments={"priority_weight": 100}, max_active_tasks=1))
    mill.add(wide_dag("b", 1))
    mill.trigger("a")
    mill.trigger("b")
    assert mill.executor.running() == ["a0", "b0"]


def test_a_pool_can_be_resized_while_tasks_run(mill) -> None:
    make_pool(mill, "small", 1)
    mill.add(wide_dag("d", 3, task_arguments={"pool": "small"}))
    mill.trigger("d")
    mill.db.write(lambda c: c.execute(update(tables.pool).where(tables.pool.c.name == "small").values(slots=2)))
    mill.pump()
    assert len(mill.executor.running()) == 2


def test_the_more_urgent_task_goes_first(mill) -> None:
    with DAG("d", schedule=None, max_active_tasks=1) as dag:
        BashOperator(task_id="low", bash_command="true", priority_weight=1)
        BashOperator(task_id="high", bash_command="true", priority_weight=10)
    mill.add(dag)
    mill.trigger("d")
    assert mill.executor.running() == ["high"]


def test_runs_wait_for_max_active_runs_and_begin_in_order(mill) -> None:
    mill.add(wide_dag("d", 1, max_active_runs=1))
    mill.trigger("d", "r1")
    mill.clock.advance(1)
    mill.trigger("d", "r2")
    assert (mill.run_state("d", "r1"), mill.run_state("d", "r2")) == (RunState.RUNNING, RunState.QUEUED)
    mill.finish("d0")
    assert mill.run_state("d", "r2") is RunState.RUNNING


def test_a_run_of_a_paused_dag_waits_until_it_is_unpaused(mill) -> None:
    mill.add(wide_dag("d", 1), paused=True)
    mill.trigger("d")
    assert mill.run_state("d") is RunState.QUEUED
    mill.db.write(lambda c: c.execute(update(tables.dag).values(is_paused=False)))
    mill.pump()
    assert mill.run_state("d") is RunState.RUNNING


def test_two_schedulers_do_not_start_a_task_twice(mill) -> None:
    other_executor = ScriptedExecutor(mill.clock, supervisor_id="supervisor-b", slots=2)
    mill.executor.info = mill.executor.info.__class__(id="supervisor-a", host="h", boot_id="b", pid=1, slots=2)
    mill.restart()
    other = mill.another(other_executor)
    mill.add(wide_dag("d", 4))
    mill.trigger("d")
    other.run_once()
    mill.service.run_once()
    other.run_once()
    submitted = mill.executor.submissions + other_executor.submissions
    names = sorted(mill.executor.running() + other_executor.running())
    assert names == ["d0", "d1", "d2", "d3"]
    assert len(set(submitted)) == len(submitted) == 4
    for name in list(other_executor.running()):
        other_executor.finish(name)
    other.run_once()
    assert [mill.states("d")[name] for name in names].count(TaskState.SUCCESS) == 2
