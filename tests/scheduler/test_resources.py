"""Tasks ask for resources; what a supervisor offers is never exceeded, and nobody waits for ever."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from clockmill import DAG, task
from clockmill.actions.explain import Explanation, explain
from clockmill.clock import iso
from clockmill.state import TaskState
from clockmill.testing.executor import ScriptedExecutor
from tests.mill import Mill

START = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
GB = 1 << 30


@pytest.fixture
def mill(mill: Mill) -> Mill:
    """One whose supervisor offers 4 processors, 8 GB and a GPU."""
    mill.executor = ScriptedExecutor(mill.clock, resources={"cpu": 4, "memory": 8 * GB, "gpu": 1})
    mill.restart()
    return mill


def dag_of(dag_id: str = "d", **asks: Any) -> DAG:
    """A DAG of independent tasks, each with what it asks for and perhaps its priority."""
    with DAG(dag_id, start_date=START, schedule=None, max_active_tasks=100) as dag:
        for name, asked in asks.items():
            resources, weight = asked if isinstance(asked, tuple) else (asked, 1)
            task(task_id=name, resources=resources, priority_weight=weight)(lambda: None)()
    return dag


def test_tasks_run_beside_one_another_as_far_as_what_they_ask_for_is_there(mill: Mill) -> None:
    half = {"cpu": 2, "memory": "3GB"}
    mill.add(dag_of(a=half, b=half, c={"gpu": 1}, d={"cpu": 0.5}, e=None))
    mill.trigger("d")
    assert mill.executor.running() == ["a", "b", "c", "e"]
    assert mill.executor.workload("a").resources == {"cpu": 2, "memory": 3 * GB}
    assert mill.executor.workload("e").resources == {}
    mill.finish("a")
    assert mill.executor.running() == ["b", "c", "e", "d"]
    mill.restart()
    assert mill.executor.running() == ["b", "c", "e", "d"]


def test_what_is_asked_for_is_free_again_only_when_the_attempt_is_over(mill: Mill) -> None:
    mill.add(dag_of(a={"cpu": 4}, b={"cpu": 4}))
    mill.trigger("d")
    mill.executor.begin("a")
    mill.pump()
    assert mill.executor.running() == ["a"]
    mill.finish("a", "failed")
    assert mill.executor.running() == ["b"]


def test_a_task_that_asks_for_more_than_there_is_waits_and_holds_nobody_back(mill: Mill) -> None:
    many = {f"x{number}": ({"memory": "9GB"}, 9) for number in range(60)}
    mill.add(dag_of(**many, a={"cpu": 1}, b=None))
    mill.trigger("d")
    assert mill.executor.running() == ["a", "b"]
    mill.finish("a")
    mill.finish("b")
    assert mill.states("d")["x0"] is TaskState.SCHEDULED
    mill.executor.info = ScriptedExecutor(mill.clock, resources={"memory": 10 * GB}).info
    mill.executor.start(2)
    mill.pump()
    assert mill.executor.running() == ["x0"]


def test_a_stream_of_small_tasks_does_not_keep_a_large_one_out(mill: Mill) -> None:
    mill.add(dag_of("small", s={"cpu": 1}))
    mill.add(dag_of("large", big={"cpu": 4}))
    mill.trigger("small", "r0")
    mill.trigger("large")
    for number in range(1, 4):
        mill.clock.advance(1)
        mill.trigger("small", f"r{number}")
    assert mill.executor.running() == ["s"]
    mill.finish("s")
    assert mill.executor.running() == ["big"]
    mill.finish("big")
    assert mill.executor.running() == ["s", "s", "s"]


def test_a_large_task_that_waits_lets_those_pass_that_are_more_urgent_or_ask_for_something_else(mill: Mill) -> None:
    mill.add(dag_of("first", f={"cpu": 1}))
    mill.add(dag_of("large", big={"cpu": 4, "memory": "2GB"}))
    mill.add(dag_of("d", plain=None, gpu={"gpu": 1}, urgent=({"cpu": 1}, 2), memory={"memory": "6GB"}, late={"cpu": 1}))
    mill.trigger("first")
    mill.trigger("large")
    mill.trigger("d")
    assert mill.executor.running() == ["f", "urgent", "plain", "gpu", "memory"]


def test_what_no_pool_lets_through_keeps_no_resources_free(mill: Mill) -> None:
    with DAG("d", start_date=START, schedule=None) as dag:
        task(task_id="big", resources={"cpu": 4}, pool="nowhere")(lambda: None)()
        for number in range(2):
            task(task_id=f"s{number}", resources={"cpu": 2})(lambda: None)()
    mill.add(dag)
    mill.trigger("d")
    assert mill.executor.running() == ["s0", "s1"]


def test_an_executor_that_says_nothing_of_resources_is_given_everything(mill: Mill) -> None:
    mill.executor = ScriptedExecutor(mill.clock, supervisor_id="silent")
    mill.restart()
    mill.add(dag_of(a={"cpu": 99, "memory": "1PB"}))
    mill.trigger("d")
    assert mill.executor.workload("a").resources == {"cpu": 99, "memory": 1 << 50}


# --- why -------------------------------------------------------------------------------------------------------------


def why(mill: Mill, dag_id: str, task_id: str) -> Explanation:
    return mill.db.read(lambda c: explain(c, dag_id, "r1", task_id, default_executor="scripted"))


def test_why_says_what_is_missing_and_who_has_it(mill: Mill) -> None:
    mill.add(dag_of(a={"cpu": 3}, b={"cpu": 2, "memory": "1GB"}, huge={"memory": "1TB", "tpu": 1}))
    mill.trigger("d")
    told = why(mill, "d", "b")
    assert told.verdict == (
        "It asks for 2 cpu and 1 GB of memory, which is not free at the moment: "
        "test-host has 1 cpu and 8 GB of memory free."
    )
    assert [holder.what for holder in told.holders] == ["d r1 a (3 cpu)"]
    assert why(mill, "d", "huge").verdict == (
        "It asks for 1 TB of memory and 1 tpu, which nobody offers: test-host has 8 GB of memory and 0 tpu. "
        "It starts when somebody comes who does."
    )


def test_why_says_first_that_no_scheduler_is_there(mill: Mill) -> None:
    mill.add(dag_of(a={"cpu": 3}, b={"cpu": 2}))
    mill.trigger("d")
    seen = mill.clock.now()

    def told() -> Explanation:
        known = {"default_executor": "scripted", "now": mill.clock.now()}
        return mill.db.read(lambda c: explain(c, "d", "r1", "b", **known))

    assert told().verdict.startswith("It asks for 2 cpu")
    mill.clock.advance(3600)
    assert told().verdict == (
        f"No scheduler is running: the last one was seen at {iso(seen)}. Start clockmill scheduler."
    )
    assert told().details[0].startswith("also: It asks for 2 cpu")


def test_why_names_the_task_that_resources_are_kept_for(mill: Mill) -> None:
    mill.add(dag_of("first", f={"cpu": 1}))
    mill.add(dag_of("large", big={"cpu": 4}))
    mill.add(dag_of("small", s={"cpu": 1}))
    for dag_id in ("first", "large", "small"):
        mill.trigger(dag_id)
    assert why(mill, "small", "s").verdict == (
        "It asks for 1 cpu, which is free, but kept for large big: that one waits for 4 cpu, is as urgent and older."
    )


# --- two at once -----------------------------------------------------------------------------------------------------


def test_two_schedulers_of_one_host_share_what_the_host_has(mill: Mill) -> None:
    mill.add(dag_of(a={"cpu": 3}, b={"cpu": 3}))
    other = ScriptedExecutor(mill.clock, supervisor_id="supervisor-2", resources={"cpu": 4})
    service = mill.another(other, name="other")
    service.run_once()
    mill.trigger("d")
    service._listener.called = True
    service.run_once()
    assert (mill.executor.running(), other.running()) == (["a"], [])
