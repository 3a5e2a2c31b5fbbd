"""Mapped tasks and groups at work: which instance takes what, and what is seen of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, product, zip_longest
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill import DAG, BaseOperator, SkipTask, get_current_context, task, task_group
from clockmill.errors import UsageError
from clockmill.model.xcom_arg import Values
from clockmill.operators.bash import BashOperator
from clockmill.operators.branch import BaseBranchOperator
from clockmill.protocols import Workload
from clockmill.runtime import pipeline
from clockmill.runtime.inprocess import render_task, run_dag
from clockmill.runtime.local_values import LocalValues
from clockmill.runtime.tested import RunChannel, TestedRun, TestedTask
from clockmill.state import TaskKey
from clockmill.testing import FakeClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@task
def give(value: Any) -> Any:
    return value


@task
def add(a: Any, b: Any = 0) -> Any:
    return a + b


@task
def keep(value: Any) -> Any:
    return value


def run_of(dag: DAG, **options: Any) -> TestedRun:
    return run_dag(dag, clock=FakeClock(), **options)


def states(run: TestedRun, task_id: str) -> list[tuple[str, str]]:
    return [(str(one.state), one.reason) for one in run.get_task_instances(task_id)]


# --- which element an instance takes --------------------------------------------------------------------------------


@dataclass
class Source:
    """Something to map over, and the elements that it must have."""

    write: Callable[[], Any]
    elements: list[Any]


def literal(value: Any) -> Source:
    return Source(lambda: value, elements_of(value))


def output(value: Any) -> Source:
    return Source(lambda: task(task_id="output")(lambda: value)(), elements_of(value))


def instances(values: list[Any]) -> Source:
    return Source(lambda: keep.expand(value=values), values)


def elements_of(value: Any) -> list[Any]:
    return list(value.items()) if isinstance(value, dict) else list(value)


def mapped(source: Source) -> Source:
    return Source(lambda: source.write().map(lambda element: ["m", element]), [["m", e] for e in source.elements])


def zipped(sources: list[Source], fill: dict[str, Any]) -> Source:
    each = [source.elements for source in sources]
    elements = list(zip_longest(*each, **fill)) if fill else list(zip(*each, strict=False))
    return Source(lambda: sources[0].write().zip(*(s.write() for s in sources[1:]), **fill), elements)


def joined(sources: list[Source]) -> Source:
    elements = list(chain(*(source.elements for source in sources)))
    return Source(lambda: sources[0].write().concat(*(s.write() for s in sources[1:])), elements)


def scalars(letters: str) -> st.SearchStrategy[Any]:
    texts = st.text(letters, max_size=4)
    return st.none() | st.booleans() | st.integers(-5, 5) | texts | st.tuples(texts)


def lists(letters: str) -> st.SearchStrategy[list[Any]]:
    return st.lists(scalars(letters), max_size=4)


def dicts(letters: str) -> st.SearchStrategy[dict[Any, Any]]:
    return st.dictionaries(st.text("abc", max_size=2) | st.integers(0, 3), scalars(letters), max_size=3)


#: What tasks give may look like a template.
ODD = "a{}%# "
OUTPUTS = (lists(ODD) | lists(ODD).map(tuple) | dicts(ODD)).map(output) | st.lists(
    st.integers(), min_size=1, max_size=4
).map(instances)
FILLS = st.just({}) | st.just({"fillvalue": "-"}) | st.just({"fillvalue": None})


def larger(inner: st.SearchStrategy[Source]) -> st.SearchStrategy[Source]:
    several = st.lists(inner, min_size=1, max_size=3)
    return inner.map(mapped) | st.builds(zipped, several, FILLS) | several.map(joined)


SOURCES = st.recursive(OUTPUTS, larger, max_leaves=4) | (lists("abc") | dicts("abc")).map(literal)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(SOURCES, min_size=1, max_size=3))
def test_every_instance_takes_its_element_of_the_product(sources: list[Source]) -> None:
    taken: list[Any] = []
    with DAG("d") as dag:

        @task
        def take(ti: Any, expanded_ti_count: Any, **arguments: Any) -> None:
            taken.append(tuple(arguments[name] for name in names))
            assert (ti.item, expanded_ti_count) == (len(taken) - 1, len(expected))

        names = [f"x{number}" for number in range(len(sources))]
        take.expand(**{name: source.write() for name, source in zip(names, sources, strict=True)})
    expected = list(product(*(source.elements for source in sources)))
    run = run_of(dag)
    assert taken == expected or not expected
    assert {str(one.state) for one in run.get_task_instances("take")} == {"success" if expected else "skipped"}


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.recursive(OUTPUTS, larger, max_leaves=4), st.slices(6))
def test_a_plain_task_sees_the_same_elements_as_a_sequence(source: Source, part: slice) -> None:
    with DAG("d") as dag:

        @task
        def look(values: Any) -> Any:
            found = elements_of(values)
            assert len(values) == len(found)
            if not isinstance(values, dict):
                assert values[part] == type(values[part])(found[part])
                assert [values[index] for index in range(-len(found), len(found))] == found * 2
                with pytest.raises(IndexError):
                    values[len(found)]
            return found

        written = source.write()
        look(written)
    assert isinstance(written, Values)
    run = run_of(dag)
    assert run.get_task_instance("look").reason == ""
    assert run.xcom_pull("look") == source.elements


# --- what the instance is made of -----------------------------------------------------------------------------------


def test_the_operator_is_made_for_each_instance_with_its_own_values() -> None:
    class Upper(BaseOperator):
        template_fields = ("name",)

        def __init__(self, *, name: str, sign: str = "!", **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.name = name.upper()
            self.sign = sign

        def execute(self, context: Any) -> str:
            return f"{self.name}{self.sign} {self.task_id} {self.retries} {sorted(self.upstream_task_ids)}"

    with DAG("d", default_args={"sign": "?"}) as dag:
        names = give(["ann", "bob"])
        Upper.partial(task_id="one", retries=2).expand(name=names)
        Upper.partial(task_id="two").expand_kwargs(names.map(lambda name: {"name": name, "sign": name}))
    run = run_of(dag)
    assert run.xcom_pull("one") == ["ANN? one 2 ['give']", "BOB? one 2 ['give']"]
    assert run.xcom_pull("two") == ["ANNann two 0 ['give']", "BOBbob two 0 ['give']"]


def test_templates_of_the_file_are_filled_and_what_tasks_gave_is_none() -> None:
    with DAG("d") as dag:

        @task
        def look_alikes() -> list[str]:
            return ["{{ 6 }}", "{{ ds }}"]

        texts = look_alikes()
        BashOperator.partial(task_id="file", env={"RUN": "{{ 5 }}"}).expand(bash_command=['echo "$RUN {{ 7 }}"'])
        add.partial(b="{{ 8 }}").expand(a=texts)
        keep.expand_kwargs([{"value": [texts, "{{ 9 }}"]}])
    run = run_of(dag)
    assert run.xcom_pull("file") == ["5 7"]
    assert run.xcom_pull("add") == ["{{ 6 }}8", "{{ ds }}8"]
    assert run.xcom_pull("keep") == [[["{{ 6 }}", "{{ ds }}"], "9"]]


def test_a_mapped_function_may_skip_its_instance_and_fail_it() -> None:
    def half(number: int) -> float:
        if number == 0:
            raise SkipTask("nothing to halve")
        return 1 / (number - 2)

    with DAG("d") as dag:
        keep.expand(value=give([0, 2, 4]).map(half))
    assert states(run_of(dag), "keep") == [
        ("skipped", "nothing to halve"),
        ("failed", "ZeroDivisionError: division by zero"),
        ("success", ""),
    ]


def test_a_row_that_does_not_fit_fails_its_instance_with_the_reason() -> None:
    rows = [3, {"a": 1, "b": 2}, {"a": 1}, {"cc": 1}]
    with DAG("d") as dag:
        add.partial(b=1).expand_kwargs(give(rows))
        BashOperator.partial(task_id="sh").expand_kwargs(give([{"bash_comand": "x"}, {"retries": 1}]))
        add.partial(b=1).expand_kwargs(give(rows[1:2]), strict=False)
    run = run_of(dag)
    assert [reason.removeprefix("DagDefinitionError: ") for _, reason in states(run, "add")][:3] == [
        "@task 'add': expand_kwargs() takes dictionaries of arguments by name, not 3.",
        "Task 'add': the argument 'b' is given to partial() and mapped over as well.",
        "",
    ]
    assert "unexpected keyword argument 'cc'" in states(run, "add")[3][1]
    assert "there is no argument 'bash_comand'. Did you mean 'bash_command'?" in states(run, "sh")[0][1]
    assert "retries is the same for all instances" in states(run, "sh")[1][1]
    assert run.xcom_pull("add__1") == [3]


def test_an_instance_is_named_after_it_ran_by_what_its_code_knows() -> None:
    with DAG("d") as dag:

        @task(map_index_template="{{ name }} of {{ ds[:0] }}{{ task.op_kwargs['x'] }}", retries=1)
        def named(x: int) -> None:
            get_current_context()["name"] = f"number {x}"
            if x == 2:
                raise ValueError("no")

        @task(map_index_template="{{ missing }}")
        def unnamed(x: int) -> int:
            return x

        named.expand(x=[1, 2])
        unnamed.expand(x=[3])
    run = run_of(dag)
    assert [one.label for one in run.get_task_instances("named")] == ["number 1 of 1", "number 2 of 2"]
    assert [(one.label, str(one.state)) for one in run.get_task_instances("unnamed")] == [("", "success")]


# --- what is seen of the others -------------------------------------------------------------------------------------


def test_nothing_to_map_over_is_skipped_and_what_is_no_list_fails() -> None:
    with DAG("d") as dag:
        keep.expand(value=give([]))
        keep.expand(value=give(None))
        keep.expand(value=give("text"))
    run = run_of(dag)
    why = "it is mapped over the value of 'give__{}', which is no list or dictionary"
    assert states(run, "keep") == [("skipped", "there is nothing to map over")]
    assert states(run, "keep__1") == [("upstream_failed", why.format(1))]
    assert states(run, "keep__2") == [("upstream_failed", why.format(2))]


def test_a_reducer_gets_a_lazy_sequence_of_what_there_is_and_can_pass_it_on() -> None:
    def odd(number: int) -> int:
        if number % 2 == 0:
            raise SkipTask
        return number

    with DAG("d") as dag:
        found = keep.expand(value=give(list(range(450))).map(odd))

        @task(trigger_rule="all_done")
        def reduce(values: Any) -> Any:
            assert (len(values), values[0], values[-1], values[2:6:2]) == (225, 1, 449, [5, 9])
            assert values == list(range(1, 450, 2))
            assert values != [1]
            assert repr(values) == "<LazyXComSequence of 225 elements>"
            return values

        keep.override(task_id="again").expand(value=reduce(found))
    run = run_of(dag)
    assert run.get_task_instance("reduce").reason == ""
    assert run.xcom_pull("again") == list(range(1, 450, 2))


def test_a_task_in_a_mapped_group_sees_its_own_instance_of_the_group_and_others_see_all() -> None:
    with DAG("d") as dag:

        @task
        def pulls(of: Any, ti: Any) -> Any:
            return [of, ti.xcom_pull("g.add"), ti.xcom_pull(["g.add", "g.keep", "give"])]

        @task_group
        def g(x: Any) -> Any:
            many = keep.expand(value=give.override(task_id="listed")([x, 1]))
            add(x) >> many >> pulls(many)
            return many

        pulls.override(task_id="outside")(g.expand(x=give([10, 20])))
    run = run_of(dag)
    assert run.xcom_pull("g.pulls") == [
        [[10, 1], 10, [10, [10, 1], [10, 20]]],
        [[20, 1], 20, [20, [20, 1], [10, 20]]],
    ]
    assert run.xcom_pull("outside") == [[10, 1, 20, 1], [10, 20], [[10, 20], [10, 1, 20, 1], [10, 20]]]


def test_groups_in_groups_and_maps_in_maps() -> None:
    with DAG("d") as dag:

        @task
        def tell(x: Any, y: Any, z: Any, ti: Any) -> str:
            return f"{x}{y}{z}"

        @task_group
        def inner(y: Any, x: Any) -> Any:
            return "".join if x is None else tell.partial(x=x, y=y).expand(z=give.override(task_id="zs")("pq").map(str))

        @task_group
        def outer(x: Any) -> Any:
            return inner.partial(x=x).expand(y=give.override(task_id="ys")([1, 2]))

        @task
        def numbers() -> list[str]:
            return ["a", "b"]

        keep(outer.expand(x=numbers()))
    with pytest.raises(UsageError, match=r"Task 'outer\.inner\.zs' has 4 instances; name one by its map_index"):
        run_of(dag).get_task_instance("outer.inner.zs")
    run = run_of(dag)
    assert str(run.state) == "failed"  # a text is no list
    assert {reason for _, reason in states(run, "outer.inner.tell")} == {
        "it is mapped over the value of 'outer.inner.zs', which is no list or dictionary"
    }


def test_three_levels_of_mapping_give_each_combination_once() -> None:
    with DAG("d") as dag:

        @task
        def below(x: Any) -> list[Any]:
            return [f"{x}{letter}" for letter in "pq"]

        @task_group
        def inner(y: Any) -> Any:
            return keep.expand(value=below(y))

        @task_group
        def outer(x: Any) -> Any:
            return inner.expand(y=below(x))

        keep.override(task_id="all")(outer.expand(x=["a", "b"]))
    expected = [f"{x}{y}{z}" for x in "ab" for y in "pq" for z in "pq"]
    run = run_of(dag)
    assert sorted(run.xcom_pull("all")) == expected
    scopes = [(one.scope, one.item, one.xcom_pull()) for one in run.get_task_instances("outer.inner.keep")]
    assert sorted(scopes) == [
        (f"{x}.{y}", z, value) for (x, y, z), value in zip(product((0, 1), (0, 1), (0, 1)), expected, strict=True)
    ]


def test_rows_for_a_mapped_group_may_leave_out_what_has_a_default() -> None:
    @task_group
    def g(a: Any, b: Any = 5) -> None:
        add(a, b)

    with DAG("d") as dag:
        g.expand_kwargs([{"a": 1}, {"a": 2, "b": 7}])
        g.override(group_id="late").partial(b=1).expand_kwargs(give([{"a": 1}, {"b": 1}]))
    run = run_of(dag)
    assert run.xcom_pull("g.add") == [6, 9]
    assert run.xcom_pull("late.add") == [2]
    assert (
        "needs the argument 'a', which the element that it is mapped over does not have"
        in states(run, "late.add")[1][1]
    )


def test_a_branch_may_follow_a_mapped_task_or_leave_it_out() -> None:
    class Left(BaseBranchOperator):
        def choose_branch(self, context: Any) -> str:
            return "left"

    with DAG("d") as dag:
        fork = Left(task_id="fork")
        fork >> keep.override(task_id="left").expand(value=[1, 2])
        fork >> keep.override(task_id="right").expand(value=give([1, 2]))
    run = run_of(dag)
    assert states(run, "left") == [("success", "")] * 2
    assert [state for state, _ in states(run, "right")] == ["skipped"]


def test_the_template_fields_of_the_first_instance_can_be_looked_at() -> None:
    with DAG("d") as dag:
        BashOperator.partial(task_id="x").expand(bash_command=["echo {{ 1 }}", "echo {{ 2 }}"])
        keep.expand(value=give([1]))
    assert render_task(dag, "x", clock=FakeClock())["bash_command"] == "echo 1"
    with pytest.raises(UsageError, match="There is no element 0 in the value of task 'give'"):
        render_task(dag, "keep", clock=FakeClock())


def test_values_that_are_kept_elsewhere_are_mapped_over_as_well() -> None:
    class Shelf:
        """Keeps the value under a number, so nothing but the task can take it apart."""

        def store(self, text: str, **_: Any) -> str:
            return "7"

        def load(self, text: str) -> str:
            assert text == "7"
            return '["a","b"]'

    taken: list[str] = []
    with DAG("d") as dag:
        keep.expand(value=give("anything").map(taken.append))
    run = TestedRun(dag_id="d", run_id="r", run_after=NOON, logical_date=NOON, conf={})
    run.tasks[TaskKey("give")] = TestedTask(task_id="give", xcoms={"return_value": "7"})
    workload = Workload(
        attempt_id="a", token="t", dag_id="d", run_id="r", task_id="keep", map_index=1, item=1,
        bundle="", bundle_path="", file="", log_path="",
        elements=[("give", "return_value", 9, [(1, '"of the reference"')])],
    )  # fmt: skip
    channel = RunChannel(run, LocalValues({}, {}, {}))
    report = pipeline.execute(workload, load=lambda: dag, channel=channel, backend=Shelf(), test_mode=True)
    assert (report.reason, report.outcome) == ("", "success")
    assert taken == ["b"]


def test_setups_and_teardowns_run_in_each_instance_of_a_mapped_group_whatever_happens() -> None:
    from clockmill import setup, teardown

    ran: list[Any] = []
    with DAG("d") as dag:

        @setup
        def up(x: Any) -> Any:
            if x == 3:
                raise ValueError("no room")
            return x

        @teardown
        def down(x: Any) -> None:
            ran.append(x)
            raise ValueError("and nobody cares")

        @task
        def divide(x: Any) -> float:
            return 1 / x

        @task_group
        def g(x: Any) -> None:
            made = up(x)
            with down(made):
                divide(made)

        g.expand(x=[0, 1, 3]) >> keep.override(task_id="next", trigger_rule="all_done")(1)
    run = run_of(dag)
    assert ran == [0, 1]
    assert [state for state, _ in states(run, "g.divide")] == ["failed", "success", "upstream_failed"]
    assert [state for state, _ in states(run, "g.down")] == ["failed", "failed", "upstream_failed"]
    assert [state for state, _ in states(run, "next")] == ["success"]
    assert str(run.state) == "success"
