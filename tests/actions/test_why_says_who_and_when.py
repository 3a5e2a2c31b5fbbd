"""``why``: the names of those who hold a task back, and the next time at which something can change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from clockmill import DAG
from clockmill.actions.explain import Explanation, explain
from clockmill.clock import iso
from clockmill.operators.bash import BashOperator
from clockmill.triggers.temporal import DateTimeTrigger
from clockmill.xcom import encode


@pytest.fixture
def pair(mill: Any) -> Any:
    """Two tasks, one below the other; the first is at work, and has another try."""
    with DAG("d", schedule=None) as dag:
        a, b = (BashOperator(task_id=name, bash_command="true", retries=1) for name in "ab")
        a >> b
    mill.add(dag)
    mill.trigger("d")
    return mill


def ask(mill: Any, task_id: str) -> Explanation:
    return mill.db.read(lambda c: explain(c, "d", "r1", task_id))


def test_an_instance_of_a_mapped_task_that_holds_a_slot_is_named_with_its_index(mill: Any) -> None:
    with DAG("d", schedule=None) as dag:
        BashOperator.partial(task_id="work", max_active_tis_per_dagrun=1).expand(bash_command=["true", "true"])
    mill.add(dag)
    mill.trigger("d")
    assert [holder.what for holder in ask(mill, "work").holders] == ["d r1 work[0] (1 slot)"]


def test_a_task_below_one_that_is_tried_again_can_change_when_that_is_due(pair: Any) -> None:
    assert ask(pair, "b").changes_at is None
    pair.finish("a", "failed")
    answer = ask(pair, "b")
    assert answer.details == ["a is up_for_retry"]
    assert answer.changes_at == pair.clock.now() + timedelta(minutes=5)


def test_a_task_that_cannot_run_names_what_failed_above_it(pair: Any) -> None:
    pair.finish("a", "failed", no_retry=True)
    assert ask(pair, "b").details == ["1 of 1 upstream tasks failed", "a is failed"]


@pytest.mark.parametrize(("timeout", "changes"), [(60.0, 30), (10.0, 10), (None, 30)])
def test_a_task_that_waits_for_a_moment_says_which(pair: Any, timeout: float | None, changes: int) -> None:
    moment = pair.clock.now() + timedelta(seconds=30)
    class_path, kwargs = DateTimeTrigger(moment).serialize()
    told = {"class_path": class_path, "kwargs": encode(kwargs), "method": "m", "method_kwargs": "{}"}
    pair.finish("a", "deferred", defer={**told, "timeout": timeout})
    answer = ask(pair, "a")
    assert answer.details[0] == "It waits until 2026-01-01T00:00:30.000000+00:00."
    assert answer.changes_at == pair.clock.now() + timedelta(seconds=changes)


@pytest.mark.parametrize(("looks", "times"), [(1, "once"), (2, "2 times")])
def test_a_sensor_says_how_often_it_looked(pair: Any, looks: int, times: str) -> None:
    for _ in range(looks):
        pair.pass_time(minutes=1)
        pair.finish("a", "rescheduled", look_again_at=iso(pair.clock.now() + timedelta(seconds=30)))
    assert f"It has looked {times} in vain in try 1" in ask(pair, "a").details[0]
