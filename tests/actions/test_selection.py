"""Which task instances a selection means, over a document and rows made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from clockmill import DAG, TaskGroup, task, task_group
from clockmill.actions.aggregate import new_row
from clockmill.actions.create import new_task
from clockmill.actions.selection import Chooser, TaskSelection
from clockmill.errors import NotFound, UsageError
from clockmill.operators.empty import EmptyOperator
from clockmill.serde import Document, decode, dumps, encode
from clockmill.state import TaskKey, TaskState
from clockmill.storage.records import TaskRow

SUCCESS, FAILED, RUNNING = TaskState.SUCCESS, TaskState.FAILED, TaskState.RUNNING


def document_of(dag: DAG) -> Document:
    return decode(dumps(encode(dag)))


def rows_of(document: Document, **states: TaskState) -> list[TaskRow]:
    """One instance of each task, a success unless said otherwise; ``tidy__clean`` stands for ``tidy.clean``."""
    named = {name.replace("__", "."): state for name, state in states.items()}
    return [row(document, TaskKey(t.task_id), n, named.get(t.task_id, SUCCESS)) for n, t in enumerate(document.tasks)]


def row(document: Document, key: TaskKey, ident: int, state: TaskState = SUCCESS) -> TaskRow:
    made = new_row(new_task(document.task(key.task_id), key), ident, 1, 1)
    return TaskRow(**{**{name: getattr(made, name) for name in TaskRow.__slots__}, "state": state})


def chosen(document: Document, rows: list[TaskRow], **selection: Any) -> set[str]:
    found = Chooser(document, TaskSelection(**selection)).rows(rows, with_setups=True)
    return {f"{each.name}@{each.scope}" if each.scope else each.name for each in found}


@pytest.fixture
def sales() -> Document:
    with DAG("sales", schedule=None) as dag:
        extract, load = EmptyOperator(task_id="extract"), EmptyOperator(task_id="load")
        with TaskGroup("tidy") as tidy:
            with TaskGroup("deep"):
                EmptyOperator(task_id="scrub")
            EmptyOperator(task_id="clean")
        extract >> tidy >> load
    return document_of(dag)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, {"extract", "load", "tidy.clean", "tidy.deep.scrub"}),
        ({"patterns": ("ea",)}, {"tidy.clean"}),
        ({"patterns": ("^ex", "^lo")}, {"extract", "load"}),
        ({"groups": ("tidy",)}, {"tidy.clean", "tidy.deep.scrub"}),
        ({"groups": ("tidy.deep",)}, {"tidy.deep.scrub"}),
        ({"groups": ("tidy",), "patterns": ("clean",)}, {"tidy.clean"}),
        ({"names": (("extract", None),)}, {"extract"}),
        ({"names": (("tidy.clean", None),), "downstream": True}, {"tidy.clean", "load"}),
        ({"names": (("tidy.clean", None),), "upstream": True}, {"tidy.clean", "extract"}),
    ],
)
def test_tasks_are_chosen_by_name_pattern_group_and_place(sales: Document, selection: Any, expected: set[str]) -> None:
    assert chosen(sales, rows_of(sales), **selection) == expected


def test_states_narrow_down_what_was_reached(sales: Document) -> None:
    rows = rows_of(sales, extract=FAILED, load=TaskState.UPSTREAM_FAILED, tidy__clean=RUNNING)
    assert chosen(sales, rows, only_failed=True) == {"extract", "load"}
    assert chosen(sales, rows, only_running=True) == {"tidy.clean"}
    assert chosen(sales, rows, only_failed=True, only_running=True) == {"extract", "load", "tidy.clean"}
    assert chosen(sales, rows, patterns=("extract",), downstream=True, only_failed=True) == {"extract", "load"}


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        ({"names": (("lod", None),)}, "There is no task 'lod'. Did you mean 'load'?"),
        ({"patterns": ("lod",)}, "There is no task that matches 'lod'. Did you mean 'load'?"),
        ({"groups": ("tidi",)}, "There is no task group 'tidi'. Did you mean 'tidy'?"),
    ],
)
def test_what_is_not_there_is_answered_with_the_nearest(sales: Document, selection: Any, told: str) -> None:
    with pytest.raises(NotFound) as refusal:
        chosen(sales, rows_of(sales), **selection)
    assert str(refusal.value) == told


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="'\\(' is no regular expression"):
        TaskSelection(patterns=("(",))


@pytest.fixture
def cluster() -> Document:
    """Two clusters in a row, and a task outside of both."""
    with DAG("cluster", schedule=None) as dag:
        made = {}
        for name in ("one", "two"):
            made[name] = (
                EmptyOperator(task_id=f"create_{name}"),
                EmptyOperator(task_id=f"work_{name}"),
                EmptyOperator(task_id=f"delete_{name}"),
            )
            create, work, delete = made[name]
            create >> work >> delete.as_teardown(setups=create)
        made["one"][1] >> made["two"][0]
        made["two"][1] >> EmptyOperator(task_id="report")
    return document_of(dag)


def test_setups_and_teardowns_come_along(cluster: Document) -> None:
    rows = rows_of(cluster)
    assert chosen(cluster, rows, patterns=("work_two",)) == {"create_two", "work_two", "delete_two"}
    assert chosen(cluster, rows, patterns=("report",)) == {"report"}
    assert chosen(cluster, rows, patterns=("delete_one",)) == {"delete_one"}
    both = {f"{what}_{name}" for what in ("create", "work", "delete") for name in ("one", "two")}
    assert chosen(cluster, rows, patterns=("work_one",), downstream=True) == both | {"report"}


def test_setups_come_along_whatever_they_are_when_only_failed_tasks_are_chosen(cluster: Document) -> None:
    assert chosen(cluster, rows_of(cluster, work_one=FAILED), only_failed=True) == {
        "create_one",
        "work_one",
        "delete_one",
    }


@pytest.fixture
def mapped() -> tuple[Document, list[TaskRow]]:
    """Two instances of a mapped group of two tasks, a task that is mapped in it, and a reduce."""
    with DAG("mapped", schedule=None) as dag:

        @task
        def part(number: int) -> int: ...

        @task_group
        def each(number: int) -> Any:
            begin = EmptyOperator(task_id="begin")
            inner = part.expand(number=[1, 2])
            begin >> inner
            return inner

        each.expand(number=[10, 20]) >> EmptyOperator(task_id="total")
    document = document_of(dag)
    keys = [TaskKey("each.begin", index, str(index)) for index in (0, 1)]
    keys += [TaskKey("each.part", index, str(index // 2)) for index in range(4)]
    keys.append(TaskKey("total"))
    return document, [row(document, key, ident) for ident, key in enumerate(keys)]


def test_in_a_mapped_group_only_the_same_instance_follows(mapped: tuple[Document, list[TaskRow]]) -> None:
    names = (("each.begin", 1),)
    assert chosen(*mapped, names=names) == {"each.begin[1]@1"}
    below = {"each.begin[1]@1", "each.part[2]@1", "each.part[3]@1", "total"}
    assert chosen(*mapped, names=names, downstream=True) == below
    assert chosen(*mapped, names=(("each.part", 3),), upstream=True) == {"each.begin[1]@1", "each.part[3]@1"}
    assert chosen(*mapped, patterns=("part",), map_index=0) == {"each.part[0]@0"}
