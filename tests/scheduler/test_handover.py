"""What mapped tasks are handed of the values that they are mapped over, and what they are left to ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clockmill import DAG, task
from clockmill.scheduler import handover
from clockmill.scheduler.handover import LONGEST_ELEMENT, LONGEST_VALUE, Values
from clockmill.state import RunState


def returns(value: Any) -> dict[str, Any]:
    """The report of a task that returned ``value``."""
    return {"xcoms": [("return_value", json.dumps(value, separators=(",", ":")))]}


def mapped_dag() -> DAG:
    with DAG("d", schedule=None) as dag:

        @task
        def numbers() -> list[Any]: ...

        @task
        def work(number: Any) -> int: ...

        @task
        def more(number: Any) -> int: ...

        more.expand(number=work.expand(number=numbers()))
    return dag


@pytest.fixture
def mapped(mill: Any) -> Any:
    """A run whose first task is to return a list."""
    mill.add(mapped_dag())
    mill.trigger("d")
    return mill


def handed(mill: Any, map_index: int = 0, task_id: str = "work") -> Any:
    return mill.executor.workload(task_id, map_index=map_index).elements


def test_each_instance_is_handed_its_own_element_and_the_length(mapped: Any) -> None:
    assert handed(mapped, -1, "numbers") == []
    mapped.finish("numbers", **returns([5, {"a": None}]))
    assert handed(mapped, 0) == [("numbers", "return_value", 2, [(0, "5")])]
    assert handed(mapped, 1) == [("numbers", "return_value", 2, [(1, '{"a":null}')])]


def test_what_another_scheduler_or_supervisor_is_given_again_is_the_same(mapped: Any) -> None:
    mapped.finish("numbers", **returns([5, 6]))
    before = handed(mapped, 1)
    mapped.executor.held.clear()  # the message was lost with the scheduler
    mapped.restart()
    mapped.pump()
    assert handed(mapped, 1) == before
    mapped.executor.die()
    mapped.pump()
    mapped.pass_time(hours=1)
    assert handed(mapped, 1) == before


def test_another_try_of_the_task_mapped_over_counts_at_once(mapped: Any) -> None:
    mapped.finish("numbers", **returns([5, 6]))
    mapped.clear("d", "numbers")
    mapped.finish("numbers", **returns([7, 8]))
    assert [handed(mapped, index)[0][3] for index in (0, 1)] == [[(0, "7")], [(1, "8")]]


def test_an_element_that_is_too_long_is_asked_for(mapped: Any) -> None:
    fits, exceeds = "x" * (LONGEST_ELEMENT - 2), "x" * (LONGEST_ELEMENT - 1)  # and two quotation marks
    mapped.finish("numbers", **returns([fits, exceeds]))
    assert handed(mapped, 0)[0][3] == [(0, f'"{fits}"')]
    assert handed(mapped, 1) == [("numbers", "return_value", 2, [])]


@pytest.mark.parametrize(("excess", "found"), [(0, [("numbers", "return_value", 2, [(0, "1")])]), (1, [])])
def test_a_value_that_is_too_long_is_left_alone(mapped: Any, excess: int, found: Any) -> None:
    around = len(json.dumps([1, ""], separators=(",", ":")))
    mapped.finish("numbers", **returns([1, "x" * (LONGEST_VALUE - around + excess)]))
    assert handed(mapped, 0) == found


@pytest.mark.parametrize("text", ['{"__type__":"set","value":{"a":1}}', "[" * 900 + "]" * 900, '["\\ud800"]'])
def test_what_no_honest_task_would_report_does_not_disturb_the_scheduler(mapped: Any, text: str) -> None:
    mapped.finish("numbers", xcoms=[("return_value", text)])
    while mapped.executor.held:
        mapped.finish(mapped.executor.running()[0])
    assert mapped.run_state("d") is RunState.SUCCESS


def test_values_are_read_once_as_long_as_there_is_room_and_only_idle_ones_make_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handover, "_ROW_SIZE", 0)
    values, reads = Values(most=10, idle=3), []

    def get(name: str, text: str | None = "[1, 2, 3]") -> Any:
        def read() -> str | None:
            reads.append(name)
            return text

        return values.get(name, read)

    assert [get("a"), get("a"), get("b"), get("long", None)] == [[1, 2, 3], [1, 2, 3], [1, 2, 3], None]
    assert reads == ["a", "b"]  # 18 characters are more than 10, and all of them in use
    assert get("b") == [1, 2, 3]
    assert get("c") == [1, 2, 3]  # "a" was used four turns ago
    assert get("a") is None
    assert reads == ["a", "b", "c"]
