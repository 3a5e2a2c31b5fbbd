"""The DAG document: written, read again, and the same each time."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from clockmill import DAG, Label, Param, TaskGroup, task
from clockmill.errors import DagDefinitionError, NotFound, SerializationError
from clockmill.model.param import NO_DEFAULT, ParamError
from clockmill.model.weights import WeightRule
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.serde import Document, decode, dumps, encode
from clockmill.serde.shorten import LIMIT, shorten
from clockmill.state import TriggerRule

SCHEMA = json.loads(files("clockmill.serde").joinpath("schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def written(dag: DAG) -> Document:
    return decode(dumps(encode(dag)))


def rich_dag() -> DAG:
    with DAG(
        "rich",
        description="Everything at once.",
        schedule=timedelta(hours=6),
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        end_date=datetime(2025, 1, 1, tzinfo=UTC),
        dagrun_timeout=timedelta(hours=2),
        max_active_runs=3,
        tags=["b", "a", "b"],
        params={"limit": Param(5, "How many", type="integer", minimum=1)},
        default_args={"owner": "ops", "retries": 2},
        is_paused_upon_creation=True,
        catchup=True,
    ) as dag:
        start = EmptyOperator(task_id="start")
        with TaskGroup("load", tooltip="Loads it"):
            load = BashOperator(
                task_id="copy",
                bash_command="cp {{ ds }}",
                retry_delay=30,
                retry_exponential_backoff=True,
                max_retry_delay=600,
                execution_timeout=60,
                pool="disk",
                pool_slots=2,
                queue="big",
                executor_config={"memory": "1G"},
                run_as_user="etl",
                trigger_rule="none_failed",
                max_active_tis_per_dag=2,
            )
        start >> Label("go") >> load
    return dag


def test_a_document_says_what_the_dag_says() -> None:
    document = written(rich_dag())
    assert (document.dag_id, document.owner, document.tags) == ("rich", "ops", ("a", "b"))
    assert (document.start_date, document.dagrun_timeout) == (datetime(2024, 1, 1, tzinfo=UTC), 7200.0)
    assert (document.max_active_runs, document.max_active_tasks, document.catchup) == (3, None, True)
    assert document.timetable["type"] == "delta_trigger"
    copy = document.task("load.copy")
    assert (copy.operator, copy.group, copy.upstream) == ("BashOperator", "load", ("start",))
    assert (copy.retries, copy.retry_delay, copy.retry_backoff, copy.max_retry_delay) == (2, 30.0, 2.0, 600.0)
    assert (copy.pool, copy.pool_slots, copy.queue, copy.execution_timeout) == ("disk", 2, "big", 60.0)
    assert (copy.trigger_rule, copy.max_active_per_dag) == (TriggerRule.NONE_FAILED, 2)
    assert copy.template_fields["bash_command"] == "cp {{ ds }}"
    assert document.task("start").edge_labels == {"load.copy": "go"}
    assert document.task("start").priority == 2
    assert [(group.group_id, group.tooltip) for group in document.groups] == [("load", "Loads it")]


def test_the_graph_is_what_the_state_machine_works_on() -> None:
    graph = written(rich_dag()).graph()
    assert graph["start"].downstream == ("load.copy",)
    assert graph["start"].is_empty
    assert graph["load.copy"].upstream == ("start",)
    assert graph["load.copy"].rule is TriggerRule.NONE_FAILED


def test_a_document_satisfies_its_schema() -> None:
    assert list(VALIDATOR.iter_errors(encode(rich_dag()))) == []


def test_the_schema_of_the_document_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("given", "multiplier"), [(False, 1.0), (True, 2.0), (1.5, 1.5), (3, 3.0)])
def test_a_backoff_is_a_multiplier(given: bool | float, multiplier: float) -> None:
    with DAG("x") as dag:
        EmptyOperator(task_id="a", retry_exponential_backoff=given)
    assert written(dag).task("a").retry_backoff == multiplier


def test_params_keep_that_they_have_no_default() -> None:
    document = written(DAG("x", params={"day": Param(type="string"), "all": Param(None)}))
    assert [(param.name, param.default) for param in document.params] == [("day", NO_DEFAULT), ("all", None)]
    assert document.run_params({"day": "monday", "free": 1}) == {"day": "monday", "all": None, "free": 1}
    with pytest.raises(ParamError, match="day: a value is required"):
        document.run_params({})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DAG("x", params={"p": Param(datetime(2024, 1, 1, tzinfo=UTC))}), r"DAG 'x': params\['p'\]"),
        (lambda: DAG("x", params={"p": float("nan")}), r"DAG 'x': params\['p'\]"),
        (lambda: with_task(executor_config={"volume": object()}), "DAG 'x', task 'a': executor_config"),
        (lambda: with_task(params={"p": {1, 2}}), r"DAG 'x', task 'a': params\['p'\]"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises(SerializationError, match=message):
        encode(make())


def with_task(**arguments: Any) -> DAG:
    with DAG("x") as dag:
        EmptyOperator(task_id="a", **arguments)
    return dag


def test_a_dag_with_a_cycle_has_no_document() -> None:
    with DAG("x") as dag:
        a, b = EmptyOperator(task_id="a"), EmptyOperator(task_id="b")
        a >> b >> a
    with pytest.raises(DagDefinitionError, match="cycle"):
        encode(dag)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "This is not a DAG document"),
        ("[]", "it has no schema version"),
        ('{"dag_id": "x"}', "it has no schema version"),
        ('{"schema": 2, "dag_id": "x"}', "DAG 'x' was written by a newer Clockmill .schema 2; this one reads up to 1"),
        ('{"schema": 1, "dag_id": "x"}', "The document of DAG 'x' is damaged: KeyError"),
    ],
)
def test_what_is_no_document_is_refused(text: str, message: str) -> None:
    with pytest.raises(SerializationError, match=message):
        decode(text)


def test_keys_of_a_later_program_are_passed_over() -> None:
    data = encode(rich_dag())
    data["novelty"] = data["tasks"][0]["novelty"] = 1
    assert decode(json.dumps(data)) == written(rich_dag())


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="Did you mean 'start'"):
        written(rich_dag()).task("strat")


def test_the_text_is_the_same_in_every_process(tmp_path: Path) -> None:
    program = tmp_path / "made.py"
    program.write_text(
        "from clockmill import DAG, task\n"
        "from clockmill.serde import dumps, encode\n"
        "class Thing: ...\n"
        "with DAG('x', schedule='@daily', tags={'c', 'a', 'b'}) as dag:\n"
        "    @task\n"
        "    def f(x): ...\n"
        "    a = f({'one', 'two', 'three'})\n"
        "    b = f([Thing(), f, lambda: 1, a])\n"
        "    [a, f(1), f(2)] >> b\n"
        "print(dumps(encode(dag)))\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, str(program)], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True, capture_output=True, text=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(texts) == 1
    assert "0x" not in texts.pop()


def plain_function() -> None: ...


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", "text"),
        (None, "None"),
        ([1, "a", (2.5, True)], "[1, 'a', (2.5, True)]"),
        ({"k": {"b", "a"}}, "{'k': {'a', 'b'}}"),
        (plain_function, "plain_function"),
        (partial(plain_function), "partial(plain_function)"),
        (object(), "<object>"),
        (date(2024, 1, 2), "datetime.date(2024, 1, 2)"),
        ([[[[[1]]]]], "[[[[...]]]]"),
        ("x" * 1000, "x" * (LIMIT - 1) + "…"),
        ("\ud800", "?"),
    ],
)
def test_a_field_is_shown_in_short(value: Any, shown: str) -> None:
    assert shorten(value) == shown


names = st.text(alphabet="abcdefghij_-.0", min_size=1, max_size=8).filter(
    lambda name: name[0] not in ".-" and ".." not in name
)
texts = st.text(st.characters(codec="utf-8"), max_size=5)
numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
operator_arguments = st.fixed_dictionaries(
    {},
    optional={
        "retries": st.integers(0, 50),
        "retry_delay": st.timedeltas(timedelta(0), timedelta(days=9)),
        "retry_exponential_backoff": st.booleans() | st.floats(1, 10),
        "execution_timeout": st.none() | st.timedeltas(timedelta(0), timedelta(days=9)),
        "trigger_rule": st.sampled_from(sorted(TriggerRule)),
        "weight_rule": st.sampled_from(sorted(WeightRule)),
        "priority_weight": st.integers(-(2**31) + 1, 2**31 - 1),
        "pool_slots": st.integers(1, 9),
        "executor_config": st.dictionaries(texts, json_values, max_size=3),
        "doc_md": st.none() | texts,
        "depends_on_past": st.booleans(),
        "do_xcom_push": st.booleans(),
    },
)


@st.composite
def dags(draw: st.DrawFn) -> DAG:
    """DAGs of any shape: edges go from earlier to later tasks, so there is no cycle."""
    with DAG(
        draw(names),
        schedule=draw(st.sampled_from([None, "@daily", "5 4 * * 1", timedelta(hours=3), "@once"])),
        start_date=draw(st.none() | st.datetimes(datetime.fromisoformat("1971-01-01"), timezones=st.just(UTC))),
        tags=draw(st.lists(texts, max_size=4)),
        params=draw(st.dictionaries(texts.filter(bool), json_values)),
        catchup=draw(st.booleans()),
    ) as dag:
        made: list[EmptyOperator] = []
        for number, (name, arguments) in enumerate(draw(st.lists(st.tuples(names, operator_arguments), max_size=8))):
            group = draw(st.sampled_from([None, *dag.groups.values()]))
            if draw(st.booleans()):
                group = TaskGroup(f"g{number}", parent_group=group)
            one = EmptyOperator(task_id=f"{name}_{number}", task_group=group, **arguments)
            for above in draw(st.lists(st.sampled_from(made), unique=True) if made else st.just([])):
                above >> one
            made.append(one)
    return dag


@settings(max_examples=60, derandomize=True, deadline=None)
@given(dags())
def test_every_dag_comes_back_as_it_was_written(dag: DAG) -> None:
    data = encode(dag)
    text = dumps(data)
    assert list(VALIDATOR.iter_errors(data)) == []
    assert json.loads(text) == data
    document = decode(text)
    assert text == dumps(encode(dag))
    assert [one.task_id for one in document.tasks] == dag.task_ids
    for one in dag.tasks:
        kept = document.task(one.task_id)
        assert (kept.retries, kept.trigger_rule, kept.pool_slots) == (one.retries, one.trigger_rule, one.pool_slots)
        assert kept.executor_config == one.executor_config
        assert set(document.graph()[one.task_id].upstream) == one.upstream_task_ids
        assert set(document.graph()[one.task_id].downstream) == one.downstream_task_ids
    assert {param.name: param.default for param in document.params} == {n: p.default for n, p in dag.params.items()}


def test_a_document_of_many_tasks_is_made_quickly_enough_to_be_made_often() -> None:
    with DAG("long") as dag:
        before = EmptyOperator(task_id="t0")
        for number in range(1, 2000):
            before >> (before := EmptyOperator(task_id=f"t{number}"))
    document = written(dag)
    assert (document.task("t0").priority, document.task("t1999").priority) == (2000, 1)


def test_taskflow_tasks_are_in_the_document_with_their_arguments() -> None:
    with DAG("x") as dag:

        @task
        def one() -> int:
            return 1

        @task
        def two(x: int) -> None: ...

        two(one())  # type: ignore[arg-type]
    assert written(dag).task("two").template_fields["op_args"] == "(<Output of one>)"
