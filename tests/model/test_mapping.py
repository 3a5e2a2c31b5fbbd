"""Mapped tasks and task groups as authors write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clockmill import DAG, BaseOperator, TaskGroup, task, task_group
from clockmill.errors import DagDefinitionError
from clockmill.operators.bash import BashOperator
from clockmill.operators.python import PythonOperator
from clockmill.serde import decode, dumps, encode
from clockmill.state.graph import Graph


@task
def numbers() -> list[int]:
    return [1, 2]


@task
def add(a: Any, b: Any, c: Any = 0, ti: Any = None) -> Any:
    return a + b + c


@task
def show(value: Any) -> None: ...


@task_group
def region(name: Any, day: Any = 1) -> Any:
    return show(name) >> show(day)


def graph_of(dag: DAG) -> Graph:
    return decode(dumps(encode(dag))).graph()


def sources_of(dag: DAG, task_id: str) -> Any:
    expansion = graph_of(dag)[task_id].expansion
    assert expansion is not None
    return list(expansion.over)


def test_a_task_is_mapped_over_lists_dictionaries_and_outputs_in_the_order_of_the_arguments() -> None:
    with DAG("d") as dag:
        found = numbers()
        add.partial(c=1).expand(b=found, a=[1, 2, 3])
        show.expand(value={"x": 1, "y": 2})
        show.expand(value=found["other"])
    assert sources_of(dag, "add") == [{"xcom": ["numbers", "return_value"]}, {"literal": 3}]
    assert sources_of(dag, "show") == [{"literal": 2}]
    assert sources_of(dag, "show__1") == [{"xcom": ["numbers", "other"]}]


def test_derived_values_tell_the_scheduler_how_long_they_are_and_nothing_else() -> None:
    with DAG("d") as dag:
        found, other = numbers(), numbers()
        show.expand(value=found.map(str).zip(other, [1, 2, 3], fillvalue=None).concat(other))
    one, two = {"xcom": ["numbers", "return_value"]}, {"xcom": ["numbers__1", "return_value"]}
    zipped = {"zip": [{"map": one}, two, {"literal": 3}], "longest": True}
    assert sources_of(dag, "show") == [{"concat": [zipped, two]}]
    assert graph_of(dag)["show"].upstream == ("numbers", "numbers__1")


def test_what_a_task_is_mapped_over_comes_before_it_even_where_no_template_field_holds_it() -> None:
    class Plain(BaseOperator):
        def __init__(self, *, thing: Any, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    with DAG("d") as dag:
        found = numbers()
        Plain.partial(task_id="one").expand(thing=found)
        Plain.partial(task_id="two").expand(thing=[found, 1])
        Plain.partial(task_id="three").expand_kwargs([{"thing": found}])
        Plain.partial(task_id="four").expand_kwargs(found)
    graph = graph_of(dag)
    assert {name: graph[name].upstream for name in ("one", "two", "three", "four")} == dict.fromkeys(
        ("one", "two", "three", "four"), ("numbers",)
    )


def test_a_mapped_operator_has_what_the_scheduler_needs_to_know_before_it_is_made() -> None:
    class Strict(BaseOperator):
        template_fields = ("path",)
        pool_slots = 3

        def __init__(self, *, path: str, mode: str = "r", **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.path = path.upper()  # only a string has it

    with DAG("d", default_args={"retries": 4, "mode": "w"}) as dag:
        one = Strict.partial(task_id="one", priority_weight=5, max_active_tis_per_dagrun=2).expand(path=["a", "b"])
    kept = decode(dumps(encode(dag))).task("one")
    assert (kept.retries, kept.priority, kept.pool_slots, kept.max_active_per_run, kept.operator) == (
        4,
        5,
        3,
        2,
        "Strict",
    )
    assert kept.template_fields == {"path": "['a', 'b']"}
    assert isinstance(one, Strict)
    assert (one >> show(one.output)).operator.upstream_task_ids == {"one"}  # type: ignore[attr-defined]


def test_a_mapped_group_comes_after_what_it_is_mapped_over_and_so_do_the_tasks_that_use_it() -> None:
    with DAG("d") as dag:

        @task_group
        def outer(x: Any) -> Any:
            first = show(0)
            second = show(x)
            first >> second

            @task_group
            def inner(y: Any) -> None:
                add.partial(b=x).expand(a=[y, 1])

            inner.expand(y=second)
            return second

        result = outer.expand(x=numbers())
        show(result)
    graph = graph_of(dag)
    assert graph["outer.show"].upstream == ("numbers",)
    assert graph["outer.show__1"].upstream == ("numbers", "outer.show")
    assert graph["outer.inner.add"].upstream == ("numbers", "outer.show__1")
    assert graph["outer.inner.add"].groups == ("outer", "outer.inner")
    assert graph["show"].groups == ()
    assert graph.mapped_groups["outer.inner"].groups == ("outer", "outer.inner")
    assert list(graph.mapped_groups["outer"].expansion.over) == [{"xcom": ["numbers", "return_value"]}]


def test_a_mapped_group_takes_fixed_arguments_and_rows_of_arguments() -> None:
    with DAG("d") as dag:
        region.partial(day=2).expand(name=["a", "b"])
        region.override(group_id="rows").expand_kwargs([{"name": "a", "day": 1}, {"name": "b"}])
        region.override(group_id="late").partial(day=3).expand_kwargs(numbers())
    graph = graph_of(dag)
    assert {name: list(group.expansion.over) for name, group in graph.mapped_groups.items()} == {
        "region": [{"literal": 2}],
        "rows": [{"literal": 2}],
        "late": [{"xcom": ["numbers", "return_value"]}],
    }


def test_a_mapped_dag_is_stored_the_same_each_time_whatever_it_is_mapped_over() -> None:
    def stored() -> str:
        with DAG("d") as dag:
            show.expand(value=[object(), {"key": object()}])
            show.expand(value=numbers().zip([object()]).map(lambda pair: pair))
        return dumps(encode(dag))

    assert stored() == stored()


def test_one_partial_may_be_expanded_more_than_once() -> None:
    with DAG("d") as dag:
        half = add.partial(a=1)
        half.expand(b=[1])
        half.expand(b=[2])
    assert dag.task_ids == ["add", "add__1"]


def test_a_partial_that_is_never_expanded_is_warned_of() -> None:
    with DAG("d") as dag:
        add.partial(a=1)
    with pytest.warns(UserWarning, match=r"@task 'add': partial\(\) is never expanded, so there is no task"):
        dag.validate()


def test_lists_of_the_file_may_be_as_long_as_the_configuration_allows() -> None:
    with DAG("d") as dag:
        add.expand(a=[1, 2], b=[1, 2])
        region.expand(name=[1, 2, 3, 4], day=[1])
        add.expand(a=numbers(), b=[1] * 9)
    dag.refuse_long_maps(4)
    with pytest.raises(DagDefinitionError) as caught:
        dag.refuse_long_maps(3)
    assert str(caught.value) == (
        "DAG 'd': task 'add' is mapped over 4 elements; [core] max_map_length allows 3. Let each instance do several "
        "of them, or raise the limit."
    )


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda: add.expand(), "@task 'add': expand() needs at least one argument to map over."),
        (
            lambda: add.partial(a=1).expand(a=[1], b=[2]),
            "@task 'add': the argument 'a' is given to partial() and mapped over as well.",
        ),
        (
            lambda: add.partial(a=1).expand_kwargs([{"a": 1, "b": 2}]),
            "@task 'add': the argument 'a' is given to partial() and mapped over as well.",
        ),
        (
            lambda: add.expand(a="ab", b=[1]),
            "@task 'add': a is 'ab', which cannot be mapped over. Give a list with it, ['ab'], or pass it to partial() "
            "for all instances.",
        ),
        (
            lambda: add.expand(a=7, b=[1]),
            "@task 'add': a is 7, which cannot be mapped over. Give a list, a dictionary, or the output of a task.",
        ),
        (
            lambda: add.expand(a={1}, b=[1]),
            "@task 'add': a is {1}, which cannot be mapped over. A set has no order; give sorted(...) of it.",
        ),
        (lambda: add.expand(a=[1]), "add() is expanded without its argument 'b'."),
        (lambda: add.expand(a=[1], bb=[1]), "add() has no argument 'bb'. Did you mean 'b'?"),
        (lambda: add.partial(cc=1), "add() has no argument 'cc'. Did you mean 'c'?"),
        (
            lambda: add.expand_kwargs([{"a": 1}, 2]),
            "@task 'add': expand_kwargs() takes dictionaries of arguments by name, not 2.",
        ),
        (
            lambda: add.expand_kwargs({"a": [1]}),
            "@task 'add': expand_kwargs() takes a list of dictionaries, not a dictionary.",
        ),
        (
            lambda: BashOperator.partial(task_id="x").expand(bash_comand=["a"]),
            "BashOperator 'x': there is no argument 'bash_comand'. Did you mean 'bash_command'?",
        ),
        (
            lambda: BashOperator.partial(task_id="x").expand(task_id=["a", "b"]),
            "BashOperator 'x': task_id is the same for all instances of a task, so it cannot be mapped over; use "
            "partial().",
        ),
        (
            lambda: BashOperator.partial(task_id="x", bash_command="true").expand(retries=[1, 2]),
            "BashOperator 'x': retries is the same for all instances of a task, so it cannot be mapped over; use "
            "partial().",
        ),
        (
            lambda: BashOperator.partial(task_id="x").expand(env=[{}]),
            "BashOperator 'x': the argument 'bash_command' is missing.",
        ),
        (
            lambda: PythonOperator.partial(task_id="x", python_callable=print) >> show(1),
            "PythonOperator 'x': partial() makes no task; end it with .expand() before >>.",
        ),
        (lambda: region.expand(day=[1]), "@task_group 'region' is expanded without its argument 'name'."),
        (
            lambda: region.expand(nam=[1]),
            "@task_group 'region': there is no argument 'nam'. Did you mean 'name'?",
        ),
        (
            lambda: region.partial(name="x")(day=1),
            "@task_group 'region': after partial() comes .expand() or .expand_kwargs(), not a call.",
        ),
        (
            lambda: numbers().map(show),
            "map() takes a plain function, not <@task show>; it is called in the process of the task that uses the "
            "values, so it cannot be a task itself.",
        ),
        (
            lambda: numbers().zip(3),
            "What zip() is given is 3, which cannot be mapped over. Give a list, a dictionary, or the output of a "
            "task.",
        ),
    ],
)
def test_what_cannot_be_mapped_is_refused_when_the_file_is_loaded(write: Callable[[], Any], told: str) -> None:
    with DAG("d"), pytest.raises(DagDefinitionError) as caught:
        write()
    assert str(caught.value) == told


def test_the_argument_of_a_mapped_group_is_known_inside_of_it_alone() -> None:
    kept: list[Any] = []

    @task_group
    def leaky(x: Any) -> None:
        show(x)
        kept.append(x)

    with DAG("d"):
        leaky.expand(x=[1])
        with pytest.raises(
            DagDefinitionError, match=r"Task 'show' uses the argument 'x' of the mapped group 'leaky', but"
        ):
            show(kept[0])
        with pytest.raises(DagDefinitionError, match="so it cannot be looped over"):
            list(kept[0])


def test_the_length_of_a_group_argument_is_not_known_so_it_cannot_be_mapped_over() -> None:
    @task_group
    def nested(x: Any) -> None:
        show.expand(value=x)

    told = "Its length is not known to the scheduler; return it from a task, and map over the output of that"
    with DAG("d"), pytest.raises(DagDefinitionError, match=told):
        nested.expand(x=[[1], [2]])


def test_a_plain_group_around_or_inside_a_mapped_one_changes_no_scope() -> None:
    with DAG("d") as dag, TaskGroup("around"):

        @task_group
        def mapped(x: Any) -> None:
            with TaskGroup("inside"):
                show(x)

        mapped.expand(x=[1])
    node = graph_of(dag)["around.mapped.inside.show"]
    assert node.groups == ("around.mapped",)
