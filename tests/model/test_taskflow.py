"""Functions as tasks, and the values that go between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from clockmill import DAG, XComArg, get_current_context, task
from clockmill.errors import DagDefinitionError, NotFound, UsageError
from clockmill.model.context import CONTEXT_KEYS, call_with_context, running_in
from clockmill.model.xcom_arg import ParamReference, resolve
from clockmill.operators.bash import BashOperator
from clockmill.operators.python import PythonOperator


class Pulls:
    """A task instance that knows what other tasks pushed."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def xcom_pull(self, task_ids: str, key: str, default: Any) -> Any:
        return self.values.get(f"{task_ids}_{key}", default)


@pytest.fixture
def dag() -> Iterator[DAG]:
    with DAG("flow") as opened:
        yield opened


def operator(output: XComArg) -> PythonOperator:
    assert isinstance(output.operator, PythonOperator)
    return output.operator


@task
def extract() -> list[int]:
    return [1]


@task
def load(data: Any, more: Any = None) -> None: ...


def test_a_call_makes_a_task_named_after_the_function(dag: DAG) -> None:
    made = operator(extract())
    assert (made.task_id, made.dag) == ("extract", dag)


def test_a_name_that_is_taken_gets_a_suffix(dag: DAG) -> None:
    extract()
    extract()
    extract.override(task_id="other")()
    extract()
    assert dag.task_ids == ["extract", "extract__1", "other", "extract__2"]


def test_override_leaves_the_original_alone(dag: DAG) -> None:
    patient = task(retries=1)(extract.function).override(retries=9, pool="slow")
    assert (operator(patient()).retries, operator(patient()).pool, operator(extract()).retries) == (9, "slow", 0)


@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: [x], lambda x: {"a": [{"b": x}]}, lambda x: (x, 1), lambda x: {"a": [[x]]}]
)
def test_outputs_anywhere_in_the_arguments_draw_edges(dag: DAG, wrap: Any) -> None:
    made = operator(load(wrap(extract()), more=3))
    assert made.upstream_task_ids == {"extract"}


def test_outputs_in_template_fields_of_other_operators_draw_edges(dag: DAG) -> None:
    made = BashOperator(task_id="show", bash_command="echo $X", env={"X": extract()})  # type: ignore[dict-item]
    assert made.upstream_task_ids == {"extract"}


def test_outputs_that_are_set_later_draw_edges_when_the_dag_is_complete(dag: DAG) -> None:
    made = BashOperator(task_id="show", bash_command="true")
    made.bash_command = extract()
    dag.complete()
    assert made.upstream_task_ids == {"extract"}


def test_an_output_stands_in_dependencies(dag: DAG) -> None:
    extract() >> load(1)
    assert dag.get_task("load").upstream_task_ids == {"extract"}


def test_outputs_are_resolved_wherever_they_are(dag: DAG) -> None:
    first = extract()
    context = {"ti": Pulls(extract_return_value=[1, 2], extract_size=2), "params": {"day": "monday"}}
    given = {"a": [first, (first["size"], 5)], "b": ParamReference("day"), "c": "text"}
    assert resolve(given, context) == {"a": [[1, 2], (2, 5)], "b": "monday", "c": "text"}


def test_values_without_outputs_are_not_copied() -> None:
    value = {"a": [object()]}
    assert resolve(value, {}) is value


def test_a_task_that_returned_nothing_gives_none_and_a_key_never_pushed_is_an_error(dag: DAG) -> None:
    first, context = extract(), {"ti": Pulls()}
    assert resolve(first, context) is None
    with pytest.raises(NotFound, match="size of task extract"):
        resolve(first["size"], context)


def test_an_unknown_parameter_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="Did you mean 'day'"):
        ParamReference("dya").resolve({"params": {"day": 1}})


def test_an_output_is_no_list_when_the_file_is_loaded(dag: DAG) -> None:
    with pytest.raises(DagDefinitionError, match="not known before the run"):
        list(extract())
    with pytest.raises(DagDefinitionError, match="not by 0"):
        extract()[0]  # type: ignore[index]
    with pytest.raises(DagDefinitionError, match="names a key already"):
        extract()["a"]["b"]


def test_an_output_in_a_text_is_a_template(dag: DAG) -> None:
    first = extract()
    assert f"echo {first}" == "echo {{ ti.xcom_pull(task_ids='extract') }}"
    assert str(first["n"]) == "{{ ti.xcom_pull(task_ids='extract', key='n') }}"


def returns_dict() -> dict[str, int]:
    return {}


def returns_mapping() -> Mapping[str, int]:
    return {}


def returns_unknown_dict() -> dict[str, Unknown]:  # type: ignore[name-defined]  # noqa: F821
    return {}


def returns_something():  # type: ignore[no-untyped-def]
    return {}


def returns_list() -> list[int]:
    return []


def returns_unknown() -> Unknown:  # type: ignore[name-defined]  # noqa: F821
    return {}


@pytest.mark.parametrize(
    ("function", "several"),
    [
        (returns_dict, True),
        (returns_mapping, True),
        (returns_unknown_dict, True),
        (returns_list, False),
        (returns_unknown, False),
        (returns_something, False),
    ],
)
def test_a_function_annotated_to_return_a_dictionary_has_several_outputs(
    dag: DAG, function: Any, several: bool
) -> None:
    made = operator(task(task_id="x")(function)())
    assert made.multiple_outputs is several
    assert operator(task(task_id="y", multiple_outputs=not several)(function)()).multiple_outputs is not several


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, r"load\(\) is called without its argument 'data'"),
        ((1, 2, 3), {}, r"load\(\) takes 2 arguments by position, not 3"),
        ((1,), {"data": 2}, "is given the argument 'data' twice"),
        ((1,), {"mor": 2}, "has no argument 'mor'. Did you mean 'more'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_when_the_file_is_loaded(
    dag: DAG, args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(DagDefinitionError, match=message):
        load(*args, **kwargs)


def test_arguments_of_the_context_need_not_be_given(dag: DAG) -> None:
    @task
    def show(x: int, ds: str, *, run_id: str) -> None: ...

    show(1)
    assert dag.task_ids == ["show"]


def test_unknown_kinds_of_tasks_are_answered_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"@task.brnch. Did you mean 'branch'"):
        task.brnch


def test_a_running_task_cannot_make_tasks(dag: DAG) -> None:
    with running_in({}), pytest.raises(DagDefinitionError, match=r"extract.function\(\)"):
        extract()


def test_a_function_is_given_what_its_parameters_name() -> None:
    context = {"ds": "2024-01-01", "run_id": "r", "ti": 5}
    assert call_with_context(lambda ds, x: (ds, x), [], {"x": 1}, context) == ("2024-01-01", 1)
    assert call_with_context(lambda x, *, run_id: (x, run_id), [1], {}, context) == (1, "r")
    assert call_with_context(lambda **everything: sorted(everything), [], {}, context) == ["ds", "run_id", "ti"]
    assert call_with_context(lambda ds: ds, ["given"], {}, context) == "given"
    assert call_with_context(max, [3, 7], {}, context) == 7


def test_a_coroutine_function_is_waited_for() -> None:
    async def double(x: int, run_id: str) -> str:
        return f"{2 * x} {run_id}"

    assert call_with_context(double, [4], {}, {"run_id": "r"}) == "8 r"


def test_the_current_context_is_known_only_while_a_task_runs() -> None:
    context = {"run_id": "r"}
    with running_in(context):
        assert get_current_context() is context
    with pytest.raises(UsageError, match="only while a task runs"):
        get_current_context()


def test_the_names_of_the_context_are_those_that_are_documented() -> None:
    assert {"ds", "ts", "data_interval_start", "logical_date", "run_id", "ti", "params", "var", "conn"} <= CONTEXT_KEYS
