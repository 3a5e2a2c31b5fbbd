"""Dependencies between tasks, lists and groups."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clockmill import DAG, BaseOperator, Label, TaskGroup, chain, chain_linear, cross_downstream, task, task_group
from clockmill.errors import DagDefinitionError
from clockmill.operators.empty import EmptyOperator


@pytest.fixture
def dag() -> Iterator[DAG]:
    with DAG("edges") as opened:
        yield opened


def tasks(names: str) -> list[BaseOperator]:
    return [EmptyOperator(task_id=name) for name in names]


def edges(dag: DAG) -> set[str]:
    dag.complete()
    return {f"{one.task_id}>{below}" for one in dag.tasks for below in one.downstream_task_ids}


def test_arrows_point_from_the_earlier_to_the_later_task(dag: DAG) -> None:
    a, b, c = tasks("abc")
    a >> b
    c << b
    assert edges(dag) == {"a>b", "b>c"}
    assert b.upstream_list == [a]
    assert b.downstream_list == [c]


def test_lists_stand_on_either_side(dag: DAG) -> None:
    a, b, c, d = tasks("abcd")
    a >> [b, c] >> d
    assert edges(dag) == {"a>b", "a>c", "b>d", "c>d"}


def test_lists_point_backwards_too(dag: DAG) -> None:
    a, b, c, d = tasks("abcd")
    d << [b, c] << a
    assert edges(dag) == {"a>b", "a>c", "b>d", "c>d"}


def test_methods_do_what_arrows_do(dag: DAG) -> None:
    a, b, c = tasks("abc")
    a.set_downstream([b])
    c.set_upstream(b)
    assert edges(dag) == {"a>b", "b>c"}


@pytest.mark.parametrize("wrong", [3, "b", None, [None]])
def test_what_is_no_task_cannot_be_linked(dag: DAG, wrong: object) -> None:
    (a,) = tasks("a")
    with pytest.raises(DagDefinitionError, match="A dependency is drawn between tasks"):
        a >> wrong


def test_a_decorated_function_must_be_called_to_be_linked(dag: DAG) -> None:
    @task
    def load() -> None: ...

    (a,) = tasks("a")
    with pytest.raises(DagDefinitionError, match=r"Call it first: load\(\)"):
        a >> load


def test_tasks_outside_of_any_dag_cannot_be_linked() -> None:
    a, b = EmptyOperator(task_id="a"), EmptyOperator(task_id="b")
    with pytest.raises(DagDefinitionError, match="belong to no DAG yet"):
        a >> b


def test_labels_stand_on_edges(dag: DAG) -> None:
    a, b, c, d = tasks("abcd")
    a >> Label("ok") >> [b, c]
    [b, c] >> Label("done") >> d
    assert edges(dag) == {"a>b", "a>c", "b>d", "c>d"}
    assert dag.edge_labels == {"a": {"b": "ok", "c": "ok"}, "b": {"d": "done"}, "c": {"d": "done"}}


def test_labels_stand_on_edges_that_point_backwards(dag: DAG) -> None:
    a, b, c = tasks("abc")
    c << Label("late") << [a, b]
    assert dag.edge_labels == {"a": {"c": "late"}, "b": {"c": "late"}}


def test_a_label_can_be_used_again(dag: DAG) -> None:
    a, b, c, d = tasks("abcd")
    label = Label("x")
    a >> label >> b
    c >> label >> d
    assert edges(dag) == {"a>b", "c>d"}


def test_signs_around_a_label_point_the_same_way(dag: DAG) -> None:
    a, b = tasks("ab")
    with pytest.raises(DagDefinitionError, match="must point the same way"):
        (a >> Label("x")) << b


def test_a_chain_links_a_row(dag: DAG) -> None:
    a, b, c, d, e, f = tasks("abcdef")
    chain(a, [b, c], [d, e], f)
    assert edges(dag) == {"a>b", "a>c", "b>d", "c>e", "d>f", "e>f"}


def test_a_chain_takes_labels(dag: DAG) -> None:
    a, b, c, d = tasks("abcd")
    chain(a, [Label("x"), Label("y")], [b, c], Label("z"), d)
    assert dag.edge_labels == {"a": {"b": "x", "c": "y"}, "b": {"d": "z"}, "c": {"d": "z"}}


def test_a_chain_refuses_lists_of_different_length(dag: DAG) -> None:
    a, b, c, d, e = tasks("abcde")
    with pytest.raises(DagDefinitionError, match="have 2 and 3 items"):
        chain([a, b], [c, d, e])


def test_a_linear_chain_links_all_with_all_and_leaves_out_empty_lists(dag: DAG) -> None:
    a, b, c, d = tasks("abcd")
    chain_linear([a, b], [], [c, d])
    assert edges(dag) == {"a>c", "a>d", "b>c", "b>d"}
    with pytest.raises(DagDefinitionError, match="at least two"):
        chain_linear(a, [])


def test_cross_downstream_links_all_with_all(dag: DAG) -> None:
    a, b, c, d = tasks("abcd")
    cross_downstream([a, b], [c, d])
    assert edges(dag) == {"a>c", "a>d", "b>c", "b>d"}


def test_a_group_prefixes_the_ids_of_its_tasks(dag: DAG) -> None:
    with TaskGroup("load"):
        a = EmptyOperator(task_id="a")
        with TaskGroup("part"):
            b = EmptyOperator(task_id="b")
        with TaskGroup("bare", prefix_group_id=False):
            c = EmptyOperator(task_id="c")
    assert [a.task_id, b.task_id, c.task_id] == ["load.a", "load.part.b", "c"]
    assert list(dag.groups) == ["load", "load.part", "load.bare"]
    assert (b.label, dag.groups["load.part"].label) == ("b", "part")


def test_edges_of_a_group_are_those_of_its_roots_and_leaves(dag: DAG) -> None:
    before, after = tasks("xy")
    with TaskGroup("g") as group:
        a, b, c = tasks("abc")
        a >> [b, c]
    before >> group >> after
    assert edges(dag) == {"x>g.a", "g.a>g.b", "g.a>g.c", "g.b>y", "g.c>y"}


def test_edges_of_a_group_reach_tasks_that_are_added_later(dag: DAG) -> None:
    (before,) = tasks("x")
    with TaskGroup("g") as group:
        before >> group
        tasks("ab")
    assert edges(dag) == {"x>g.a", "x>g.b"}


def test_an_empty_group_passes_dependencies_on(dag: DAG) -> None:
    a, b = tasks("ab")
    with TaskGroup("one") as one, TaskGroup("two"):
        pass
    with TaskGroup("three") as three:
        pass
    a >> one >> three >> b
    assert edges(dag) == {"a>b"}


def test_groups_are_linked_with_groups(dag: DAG) -> None:
    with TaskGroup("g") as g:
        tasks("ab")
    with TaskGroup("h") as h:
        tasks("c")
    g >> Label("x") >> h
    assert edges(dag) == {"g.a>h.c", "g.b>h.c"}
    assert dag.edge_labels["g.a"] == {"h.c": "x"}


def test_default_args_of_groups_go_over_those_of_the_dag() -> None:
    with DAG("x", default_args={"retries": 1, "owner": "dag"}), TaskGroup("g", default_args={"retries": 2}):
        a = EmptyOperator(task_id="a")
        with TaskGroup("h", default_args={"retries": 3}):
            b = EmptyOperator(task_id="b")
            c = EmptyOperator(task_id="c", default_args={"retries": 4, "owner": "own"})
    assert [(one.retries, one.owner) for one in (a, b, c)] == [(2, "dag"), (3, "dag"), (4, "own")]


def test_a_group_id_is_taken_once(dag: DAG) -> None:
    tasks("a")
    TaskGroup("g")
    with pytest.raises(DagDefinitionError, match="has a task group 'g' already"):
        TaskGroup("g")
    with pytest.raises(DagDefinitionError, match="has a task 'a' already"):
        TaskGroup("a")
    assert TaskGroup("g", add_suffix_on_collision=True).group_id == "g__1"


@pytest.mark.parametrize("group_id", ["", "a/b", "x" * 251])
def test_impossible_group_ids_are_refused(dag: DAG, group_id: str) -> None:
    with pytest.raises(DagDefinitionError, match="task group id"):
        TaskGroup(group_id)


def test_a_group_refuses_unknown_arguments_and_needs_a_dag(dag: DAG) -> None:
    with pytest.raises(DagDefinitionError, match="Did you mean 'tooltip'"):
        TaskGroup("g", toltip="x")  # type: ignore[call-arg]


def test_a_group_needs_a_dag() -> None:
    with pytest.raises(DagDefinitionError, match="is in no DAG"):
        TaskGroup("g")


def test_a_decorated_function_makes_a_group_at_each_call(dag: DAG) -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @task_group(default_args={"retries": 5})
    def twice(x: int) -> object:
        """Doubles it two times."""
        return double(double(x))

    last = twice(1)
    twice.override(group_id="again")(last)
    twice(3)
    assert list(dag.groups) == ["twice", "again", "twice__1"]
    assert dag.groups["twice"].tooltip == "Doubles it two times."
    assert dag.get_task("again.double__1").retries == 5
    assert "twice.double__1>again.double" in edges(dag)


def test_a_decorated_function_that_returns_nothing_gives_its_group(dag: DAG) -> None:
    @task_group
    def both() -> None:
        tasks("ab")

    (end,) = tasks("z")
    both() >> end
    assert edges(dag) == {"both.a>z", "both.b>z"}
