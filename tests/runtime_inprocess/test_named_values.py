"""Variables, connections, the context as a mapping, and XCom backends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill import DAG, BaseOperator
from clockmill.credentials import ConnectionFields, parse_connection
from clockmill.errors import UsageError
from clockmill.protocols import Workload, XComQuery
from clockmill.runtime import pipeline
from clockmill.runtime.accessors import Connection
from clockmill.runtime.context import MissingFromContext, TaskContext
from clockmill.testing import run_dag

_TEXT = st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1)


class Echo(BaseOperator):
    """Returns its template field."""

    template_fields = ("text",)

    def __init__(self, *, text: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text = text

    def execute(self, context: Any) -> Any:
        return self.text


@given(
    login=_TEXT,
    password=_TEXT,
    schema=_TEXT,
    port=st.none() | st.integers(1, 65535),
    extra=st.none() | st.dictionaries(st.text(), st.integers(), min_size=1),
)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_a_connection_is_the_same_after_a_trip_through_its_uri(login: Any, extra: Any, **rest: Any) -> None:
    told = {"login": login, "host": "db.example.org", "extra": extra and json.dumps(extra), **rest}
    if login is None:
        told["password"] = None
    connection = Connection(conn_id="c", conn_type="my_sql", **told)
    assert Connection.of(parse_connection("c", connection.get_uri()).to_dict()) == connection


@pytest.mark.parametrize(("extra", "problem"), [("{", "no JSON:"), ("[1]", "no JSON object")])
def test_an_extra_that_is_no_object_is_refused(extra: str, problem: str) -> None:
    with pytest.raises(UsageError, match=f"connection 'c' is {problem}"):
        _ = Connection(conn_id="c", extra=extra).extra_dejson
    assert Connection(conn_id="c").extra_dejson == {}


def test_the_extra_of_a_stored_connection_is_read_as_text_and_as_a_dictionary() -> None:
    stored = ConnectionFields(conn_id="db", conn_type="http", extra={"tls": True})
    connection = Connection.of(stored.to_dict())
    assert (connection.extra, connection.extra_dejson) == ('{"tls": true}', {"tls": True})


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ var.value.city }} {{ var.json.limits.low }}", "Bern 1"),
        ("{{ var.value.get('gone', 'none') }}", "none"),
        ("{{ conn.api.host }}:{{ conn['api'].port }} {{ conn.api.extra_dejson.tls }}", "h:80 True"),
        ("{{ dag.dag_id }} {{ task.task_id }} {{ ti.try_number }} {{ run_id == dag_run.run_id }}", "d x 1 True"),
        ("{{ macros.ds_add('2026-01-01', 1) }}", "2026-01-02"),
    ],
)
def test_templates_read_values_by_name(template: str, expected: str) -> None:
    with DAG("d") as dag:
        Echo(task_id="x", text=template)
    run = run_dag(
        dag,
        variables={"city": "Bern", "limits": {"low": 1}},
        connections={"api": {"host": "h", "port": 80, "extra": {"tls": True}}},
    )
    assert run.xcom_pull("x") == expected


def test_a_template_that_asks_for_an_unknown_variable_names_it() -> None:
    with DAG("d") as dag:
        Echo(task_id="x", text="{{ var.value.gone }}")
    assert "There is no variable 'gone'" in run_dag(dag).get_task_instance("x").reason


def test_a_value_of_the_context_is_made_once_and_only_when_asked_for() -> None:
    made: list[str] = []
    context = TaskContext({"a": lambda: made.append("a") or 1, "b": lambda: made.append("b")}, {"c": "Why not."})
    assert list(context) == ["a", "b"]
    assert made == []
    assert (context["a"], context["a"], made) == (1, 1, ["a"])


def test_the_context_is_a_mapping_that_can_be_changed() -> None:
    context = TaskContext({"a": lambda: 1}, {"c": "Why not."})
    context["new"] = 2
    del context["a"]
    assert {**context} == {"new": 2}
    assert len(context) == 1
    assert context.get("c", "default") == "default"
    with pytest.raises(MissingFromContext, match=r"^Why not\.$"):
        context["c"]
    with pytest.raises(KeyError):
        del context["c"]


def test_a_backend_keeps_large_values_elsewhere() -> None:
    class Shelf:
        """Keeps texts in a dictionary; the database gets their number."""

        def __init__(self) -> None:
            self.texts: list[str] = []

        def store(self, text: str, **_: Any) -> str:
            self.texts.append(text)
            return json.dumps(len(self.texts) - 1)

        def load(self, text: str) -> str:
            return self.texts[json.loads(text)]

    class PushAndPull(BaseOperator):
        def execute(self, context: Any) -> Any:
            context["ti"].xcom_push("k", "x" * 1000)
            return len(context["ti"].xcom_pull(key="k"))

    dag, shelf = DAG("d"), Shelf()
    PushAndPull(task_id="x", dag=dag)
    workload = Workload(
        attempt_id="a",
        token="t",
        dag_id="d",
        run_id="r",
        task_id="x",
        bundle="",
        bundle_path="",
        file="",
        log_path="",
        max_xcom_bytes=10,
    )
    report = pipeline.execute(workload, load=lambda: dag, channel=NoChannel(), backend=shelf, test_mode=True)
    assert (report.reason, report.xcoms) == ("", [("k", "0"), ("return_value", "1")])
    assert shelf.texts[1] == "1000"


class NoChannel:
    """Nobody at the other end."""

    def get_xcoms(self, query: XComQuery) -> list[tuple[str, int, str]]:
        return []

    def measure_xcoms(self, query: XComQuery) -> tuple[int, int | None]:
        return 0, None

    def get_previous_run(self) -> dict[str, str | None]:
        return {}

    def get_variable(self, key: str) -> str | None:
        return None

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        return None

    def started(self, at: str) -> None:
        """Nobody listens."""
