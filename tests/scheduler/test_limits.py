"""Pools, ``max_active_tasks``, ``max_active_runs`` and slots: never exceeded, and nobody is held back by others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import delete, insert, update

from clockmill import DAG
from clockmill.actions.explain import Explanation, explain
from clockmill.operators.bash import BashOperator
from clockmill.state import AttemptState, RunState, TaskState
from clockmill.storage import tables
from clockmill.storage.pools import list_pools
from clockmill.testing.executor import ScriptedExecutor


def wide_dag(dag_id: str, width: int, *, task_arguments: dict[str, object] | None = None, **arguments: object) -> DAG:
    with DAG(dag_id, schedule=None, **arguments) as dag:
        for number in range(width):
            BashOperator(task_id=f"{dag_id}{number}", bash_command="true", **(task_arguments or {}))
    return dag


def make_pool(mill, name: str, slots: int, **values: object) -> None:
    mill.db.write(lambda c: c.execute(insert(tables.pool).values(name=name, slots=slots, **values)))


def why(mill, dag_id: str, task_id: str, run_id: str = "r1") -> Explanation:
    return mill.db.read(lambda c: explain(c, dag_id, run_id, task_id))


def defer(mill, dag_id: str, task_id: str) -> None:
    """Let a running task wait for a trigger."""
    row = mill.row(dag_id, task_id)
    mill.executor.held = {ident: held for ident, held in mill.executor.held.items() if held.task_id != task_id}
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    trigger = {"class_path": "m.T", "kwargs": "{}", "bundle": "", "file": "f.py", "created_at": moment}
    place = {"task_instance_id": row.id, "dag_run_id": row.dag_run_id, "pool": row.pool, "pool_slots": row.pool_slots}
    live = tables.attempt.c.task_instance_id == row.id
    state = tables.task_instance.c.id == row.id

    def work(c) -> None:
        c.execute(update(tables.attempt).where(live).values(state=AttemptState.DEFERRED, ended_at=moment))
        c.execute(update(tables.task_instance).where(state).values(state=TaskState.DEFERRED))
        c.execute(insert(tables.task_trigger).values(**place, **trigger))

    mill.db.write(work)
    mill.restart()
    mill.pump()


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


# --- limits of a task -----------------------------------------------------------------------


def test_no_more_instances_of_a_task_than_max_active_tis_per_dag_over_all_runs(mill) -> None:
    mill.add(wide_dag("d", 2, task_arguments={"max_active_tis_per_dag": 2}))
    for number in range(3):
        mill.clock.advance(1)
        mill.trigger("d", f"r{number}")
    assert sorted(mill.executor.running()) == ["d0", "d0", "d1", "d1"]
    mill.finish("d0")
    assert sorted(mill.executor.running()) == ["d0", "d0", "d1", "d1"]
    assert (mill.states("d", "r2")["d0"], mill.states("d", "r2")["d1"]) == (TaskState.RUNNING, TaskState.SCHEDULED)


def test_a_limit_per_run_counts_the_instances_in_each_run_alone(mill) -> None:
    with DAG("d", schedule=None) as dag:
        mapped = BashOperator.partial(task_id="m", max_active_tis_per_dagrun=2)
        mapped.expand(bash_command=["true"] * 4)
    mill.add(dag)
    for number in range(2):
        mill.clock.advance(1)
        mill.trigger("d", f"r{number}")
    assert Counter(held.run_id for held in mill.executor.held.values()) == {"r0": 2, "r1": 2}
    mill.finish("m")
    assert Counter(held.run_id for held in mill.executor.held.values()) == {"r0": 2, "r1": 2}
    answer = mill.db.read(lambda c: explain(c, "d", "r1", "m", 3))
    assert answer.verdict == "The task is at its limit: 2 of max_active_tis_per_dagrun=2 instances run in this run."
    assert len(answer.holders) == 2


def test_live_runs_go_before_backfills_however_urgent_these_are(mill) -> None:
    make_pool(mill, "small", 0)
    mill.add(wide_dag("a", 1, task_arguments={"pool": "small", "priority_weight": 100}))
    mill.add(wide_dag("b", 1, task_arguments={"pool": "small"}))
    mill.trigger("a")
    mill.trigger("b")
    backfill = update(tables.task_instance).where(tables.task_instance.c.task_id == "a0").values(lane=1)
    mill.db.write(lambda c: c.execute(backfill))
    mill.db.write(lambda c: c.execute(update(tables.pool).where(tables.pool.c.name == "small").values(slots=1)))
    mill.pump()
    assert mill.executor.running() == ["b0"]
    mill.finish("b0")
    assert mill.executor.running() == ["a0"]


def test_a_deferred_task_holds_its_slots_where_the_pool_includes_deferred_ones(mill) -> None:
    make_pool(mill, "kind", 1)
    make_pool(mill, "strict", 1, include_deferred=True)
    for pool in ("kind", "strict"):
        mill.add(wide_dag(pool, 2, task_arguments={"pool": pool}))
        mill.trigger(pool)
        defer(mill, pool, f"{pool}0")
    assert mill.executor.running() == ["kind1"]
    assert [(each.name, each.used) for each in mill.db.read(list_pools)] == [
        ("default_pool", 0),
        ("kind", 1),
        ("strict", 1),
    ]
    assert "strict0" in why(mill, "strict", "strict1").holders[0].what
    mill.db.write(lambda c: c.execute(delete(tables.task_trigger)))
    mill.pump()
    assert mill.executor.running() == ["kind1", "strict1"]


# --- turns ----------------------------------------------------------------------------------


def with_slots(mill, slots: int) -> None:
    mill.executor.info = replace(mill.executor.info, slots=slots)


def later(mill, dag_id: str, run_id: str) -> None:
    """Trigger a run, a moment after the one before."""
    mill.clock.advance(1)
    mill.trigger(dag_id, run_id)


def running_by_run(mill) -> dict[str, int]:
    return dict(Counter(held.run_id for held in mill.executor.held.values()))


def finish_one(mill, run_id: str) -> str:
    """End a task of a run; returns the run that gets its slot."""
    before = set(mill.executor.held)
    mill.executor.finish(
        next(held.task_id for held in mill.executor.held.values() if held.run_id == run_id), run_id=run_id
    )
    mill.pump()
    (new,) = set(mill.executor.held) - before
    return str(mill.executor.held[new].run_id)


def test_a_run_that_fills_the_executor_shares_the_slots_that_become_free_with_later_ones(mill) -> None:
    with_slots(mill, 1)
    mill.add(wide_dag("many", 30, max_active_tasks=100))
    mill.add(wide_dag("few", 2))
    later(mill, "many", "m")
    later(mill, "few", "a")
    later(mill, "few", "b")
    assert running_by_run(mill) == {"m": 1}
    turns, run = [], "m"
    for _ in range(7):
        run = finish_one(mill, run)
        turns.append(run)
    assert turns == ["a", "b", "m", "a", "b", "m", "m"]


def test_slots_that_become_free_at_once_are_dealt_in_turn(mill) -> None:
    with_slots(mill, 8)
    mill.executor.takes_work = False
    mill.add(wide_dag("d", 20, max_active_tasks=100))
    for run_id in ("a", "b", "c"):
        later(mill, "d", run_id)
    mill.add(wide_dag("little", 1))
    later(mill, "little", "x")
    mill.executor.takes_work = True
    mill.pump()
    assert running_by_run(mill) == {"a": 3, "b": 2, "c": 2, "x": 1}
    assert [finish_one(mill, "a") for _ in range(3)] == ["b", "c", "a"]


def test_no_slot_stays_free_when_most_runs_have_little_to_do(mill) -> None:
    with_slots(mill, 16)
    mill.executor.takes_work = False
    mill.add(wide_dag("little", 1))
    mill.add(wide_dag("d", 40, max_active_tasks=100))
    later(mill, "little", "x")
    later(mill, "d", "a")
    later(mill, "little", "y")
    mill.executor.takes_work = True
    mill.pump()
    assert running_by_run(mill) == {"x": 1, "a": 14, "y": 1}


def test_a_run_at_its_limit_lets_its_turn_pass_and_keeps_it(mill) -> None:
    with_slots(mill, 2)
    mill.add(wide_dag("one", 5, max_active_tasks=1))
    mill.add(wide_dag("d", 10))
    later(mill, "one", "o")
    later(mill, "d", "a")
    later(mill, "d", "b")
    assert running_by_run(mill) == {"o": 1, "a": 1}
    assert [finish_one(mill, "a"), finish_one(mill, "b"), finish_one(mill, "a")] == ["b", "a", "b"]
    assert finish_one(mill, "o") == "o"


def test_many_runs_have_their_turn_one_after_another(mill) -> None:
    with_slots(mill, 2)
    mill.executor.takes_work = False
    mill.add(wide_dag("d", 6, max_active_runs=20))
    for number in range(12):
        later(mill, "d", f"r{number:02}")
    mill.executor.takes_work = True
    mill.pump()
    turns = list(running_by_run(mill))
    for _ in range(22):
        turns.append(finish_one(mill, mill.executor.workload(mill.executor.running()[0]).run_id))
    assert turns == [f"r{number:02}" for number in range(12)] * 2


# --- nobody starves -------------------------------------------------------------------------


def test_a_task_that_asks_for_too_many_slots_lets_smaller_ones_pass(mill) -> None:
    make_pool(mill, "small", 2)
    mill.add(wide_dag("large", 50, task_arguments={"pool": "small", "pool_slots": 3, "priority_weight": 9}))
    mill.add(wide_dag("little", 1, task_arguments={"pool": "small", "pool_slots": 2}))
    mill.trigger("large")
    mill.trigger("little")
    assert mill.executor.running() == ["little0"]
    assert "asks for 3 slots of the pool 'small', which has 2: it never starts" in why(mill, "large", "large0").verdict


def test_a_task_of_an_executor_that_nobody_runs_holds_back_nobody(mill) -> None:
    mill.add(wide_dag("a", 50, task_arguments={"executor": "elsewhere", "priority_weight": 9}))
    mill.add(wide_dag("b", 1))
    mill.trigger("a")
    mill.trigger("b")
    assert mill.executor.running() == ["b0"]
    assert why(mill, "a", "a0").verdict.startswith("Nobody runs tasks of the executor 'elsewhere'")
