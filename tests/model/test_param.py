"""Parameters and their schemas."""

from __future__ import annotations

import pytest

from clockmill import DAG, Param
from clockmill.errors import DagDefinitionError
from clockmill.model.param import NO_DEFAULT, ParamError, as_params, resolve_params
from clockmill.operators.empty import EmptyOperator


def test_plain_values_are_params_that_have_them_as_default() -> None:
    params = as_params("DAG 'x'", {"a": 1, "b": Param("x", "a letter", type="string"), "c": None})
    assert [params[name].default for name in "abc"] == [1, "x", None]
    assert (params["b"].description, params["b"].schema) == ("a letter", {"type": "string"})


def test_a_param_without_default_has_none() -> None:
    assert Param(type="integer").default is NO_DEFAULT
    assert Param(type="integer").value is None
    assert Param(None).has_default


def test_values_go_over_defaults_and_free_configuration_passes_through() -> None:
    params = as_params("", {"a": 1, "b": 2})
    assert resolve_params(params, {"b": 3, "other": 4}) == {"a": 1, "b": 3, "other": 4}


def test_all_that_is_wrong_is_said_at_once() -> None:
    params = as_params(
        "",
        {
            "day": Param(type="string", format="date"),
            "limit": Param(5, type="integer", minimum=1),
            "who": Param(type="string"),
            "kinds": Param(["a"], type="array", items={"type": "string"}),
        },
    )
    with pytest.raises(ParamError) as wrong:
        resolve_params(params, {"day": "soon", "limit": 0, "whom": "me", "kinds": ["a", 3]})
    message = str(wrong.value)
    assert "day: 'soon' is not a 'date'" in message
    assert "limit: 0 is less than the minimum of 1" in message
    assert "who: a value is required, as there is no default. Did you mean 'whom'?" in message
    assert "kinds: 1 3 is not of type 'string'" in message


def test_a_default_must_satisfy_its_schema() -> None:
    dag = DAG("x", params={"n": Param("one", type="integer"), "m": Param(1, type="nonsense")})
    with pytest.raises(DagDefinitionError) as wrong:
        dag.validate()
    assert "n: its default 'one' is not of type 'integer'" in str(wrong.value)
    assert "m: its schema is wrong" in str(wrong.value)


def test_params_of_a_task_are_checked_too() -> None:
    with DAG("x") as dag:
        EmptyOperator(task_id="a", params={"n": Param("one", type="integer")})
    with pytest.raises(DagDefinitionError, match=r"Task x\.a: wrong params: n"):
        dag.validate()


def test_a_param_can_be_given_a_whole_schema() -> None:
    param = Param(3, schema={"type": "integer", "maximum": 5}, title="How many")
    assert param.schema == {"type": "integer", "maximum": 5, "title": "How many"}


def test_dag_param_adds_a_parameter() -> None:
    dag = DAG("x", params={"known": 1})
    assert str(dag.param("known")) == "{{ params['known'] }}"
    dag.param("new", 5)
    assert dag.params["new"].default == 5
    assert not dag.param("required").resolve({"params": {"required": 0}})
    assert not dag.params["required"].has_default
