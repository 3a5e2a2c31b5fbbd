"""A whole DAG in this process: ``dag.test()``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clockmill import DAG, BaseOperator, FailTask, Param, SkipTask
from clockmill.errors import UsageError
from clockmill.testing import FakeClock, run_dag

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Does(BaseOperator):
    """Calls a function with its context."""

    template_fields = ("text",)

    def __init__(
        self, *, function: Callable[[Any], Any] = lambda context: None, text: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.text = text

    def execute(self, context: Any) -> Any:
        return self.function(context)


def states(run: Any) -> dict[str, str]:
    """task id -> state."""
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_values_go_from_task_to_task_and_can_be_read_afterwards() -> None:
    with DAG("d") as dag:
        make = Does(task_id="make", function=lambda context: {"when": NOON})
        use = Does(task_id="use", text=make.output, function=lambda context: context["task"].text["when"].year)
        make >> use
    run = run_dag(dag)
    assert run.state == "success"
    assert [(t.task_id, t.map_index, t.state, t.try_number) for t in run.get_task_instances()] == [
        ("make", -1, "success", 1),
        ("use", -1, "success", 1),
    ]
    assert run.xcom_pull("use") == 2026
    assert run.get_task_instance("make").xcom_pull() == {"when": NOON}
    assert run.get_task_instance("make").xcom_pull("nothing", "default") == "default"


def test_retries_are_used_without_waiting_and_see_nothing_of_the_failed_try() -> None:
    clock, seen = FakeClock(NOON), []

    def function(context: Any) -> str:
        ti = context["ti"]
        seen.append((ti.try_number, ti.max_tries, ti.xcom_pull(key="half")))
        ti.xcom_push("half", ti.try_number)
        if ti.try_number < 3:
            raise ValueError("not yet")
        return "done"

    with DAG("d") as dag:
        Does(task_id="x", function=function, retries=2, retry_delay=timedelta(hours=1))
    run = run_dag(dag, clock=clock)
    assert states(run) == {"x": "success"}
    assert seen == [(1, 3, None), (2, 3, None), (3, 3, None)]
    assert run.get_task_instance("x").try_number == 3
    assert clock.slept == []


def test_failures_go_down_the_graph_and_fail_the_run() -> None:
    def fail(context: Any) -> None:
        raise FailTask("broken")

    with DAG("d") as dag:
        (
            Does(task_id="bad", function=fail, retries=5)
            >> Does(task_id="below")
            >> Does(task_id="always", trigger_rule="all_done")
        )
        Does(task_id="beside")
    run = run_dag(dag)
    assert states(run) == {"bad": "failed", "below": "upstream_failed", "always": "success", "beside": "success"}
    assert run.get_task_instance("bad").try_number == 1
    assert run.get_task_instance("bad").reason == "FailTask: broken"
    assert run.get_task_instance("below").try_number == 0
    assert run.state == "success"


def test_a_failed_leaf_fails_the_run() -> None:
    with DAG("d") as dag:
        Does(task_id="bad", function=lambda context: 1 / 0)
    assert run_dag(dag).state == "failed"


def test_branches_and_short_circuits_leave_tasks_out() -> None:
    with DAG("d") as dag:
        branch = Does(task_id="branch", function=lambda context: context["ti"].follow("left"))
        left, right = Does(task_id="left"), Does(task_id="right")
        join = Does(task_id="join", trigger_rule="none_failed_min_one_success")
        stop = Does(task_id="stop", function=lambda context: context["ti"].leave_out("downstream"))
        branch >> [left, right] >> join
        join >> stop >> Does(task_id="after") >> Does(task_id="end", trigger_rule="all_done")
    assert states(run_dag(dag)) == {
        "branch": "success",
        "left": "success",
        "right": "skipped",
        "join": "success",
        "stop": "success",
        "after": "skipped",
        "end": "skipped",
    }


def test_a_task_may_skip_itself() -> None:
    def skip(context: Any) -> None:
        raise SkipTask("no data today")

    with DAG("d") as dag:
        Does(task_id="x", function=skip) >> Does(task_id="y")
    run = run_dag(dag)
    assert states(run) == {"x": "skipped", "y": "skipped"}
    assert run.get_task_instance("x").reason == "no data today"


def test_fail_fast_skips_what_has_not_run() -> None:
    with DAG("d", fail_fast=True) as dag:
        Does(task_id="bad", function=lambda context: 1 / 0)
        Does(task_id="later") >> Does(task_id="last")
    assert states(run_dag(dag)) == {"bad": "failed", "later": "skipped", "last": "skipped"}


def test_a_run_that_fail_fast_cut_short_failed_although_its_last_task_was_only_skipped() -> None:
    with DAG("d", fail_fast=True) as dag:
        Does(task_id="bad", function=lambda context: 1 / 0) >> Does(task_id="last")
    run = run_dag(dag)
    assert (states(run), run.state) == ({"bad": "failed", "last": "skipped"}, "failed")


def test_fail_fast_still_tears_down_and_a_teardown_that_fails_ends_nothing() -> None:
    with DAG("d", fail_fast=True) as dag:
        made = Does(task_id="made", function=lambda context: 1)
        made >> Does(task_id="bad", function=lambda context: 1 / 0) >> Does(task_id="tidy").as_teardown(setups=made)
        kept = Does(task_id="kept", function=lambda context: 1)
        kept >> Does(task_id="slip", function=lambda context: 1 / 0).as_teardown(setups=kept)
        Does(task_id="first") >> Does(task_id="second") >> Does(task_id="third") >> Does(task_id="later")
    run = run_dag(dag)
    assert states(run)["tidy"] == "success"
    assert states(run)["later"] == "skipped"
    assert run.get_task_instance("later").reason == "fail_fast: 'bad' failed"


def test_dates_params_and_configuration_reach_the_task() -> None:
    def function(context: Any) -> list[Any]:
        return [context["ds"], context["params"]["n"], context["dag_run"].conf["free"], context["test_mode"]]

    with DAG("d", schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC), params={"n": Param(1)}) as dag:
        Does(task_id="x", function=function)
    run = run_dag(dag, logical_date=datetime(2026, 2, 3, tzinfo=UTC), run_after=NOON, run_conf={"n": 5, "free": "f"})
    assert run.xcom_pull("x") == ["2026-02-03", 5, "f", True]
    assert run.run_after == NOON


def test_params_that_miss_their_schema_are_refused() -> None:
    with DAG("d", params={"n": Param(1, type="integer")}) as dag:
        Does(task_id="x")
    with pytest.raises(UsageError, match="n: 'two' is not of type 'integer'"):
        run_dag(dag, run_conf={"n": "two"})


def test_variables_and_connections_come_from_arguments_files_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def function(context: Any) -> list[Any]:
        var, conn = context["var"], context["conn"]
        db, api = conn.db, conn.get("api")
        return [
            *(var.value.get(name) for name in ("one", "two", "three", "none")),
            var.json.four,
            [db.conn_type, db.host, db.port, db.schema, db.login, db.password, db.extra_dejson],
            [api.conn_type, api.host],
            conn.get("none"),
        ]

    with DAG("d") as dag:
        Does(task_id="x", function=function)
    for name in ("ONE", "TWO", "THREE"):
        monkeypatch.setenv(f"CLOCKMILL_VAR_{name}", "environment")
    monkeypatch.setenv("CLOCKMILL_CONN_DB", "my-sql://us%40er:p%2Fw@example.org:33/data?tls=1")
    (tmp_path / "v.yaml").write_text("one: file\ntwo: file\nfour: [1, 2]\n")
    (tmp_path / "c.json").write_text('{"api": {"conn_type": "http", "host": "h"}}')
    run = run_dag(
        dag, variables={"one": "argument"}, variable_file_path=tmp_path / "v.yaml", conn_file_path=tmp_path / "c.json"
    )
    assert run.xcom_pull("x") == [
        "argument",
        "file",
        "environment",
        None,
        [1, 2],
        ["my_sql", "example.org", 33, "data", "us@er", "p/w", {"tls": "1"}],
        ["http", "h"],
        None,
    ]


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        ("no uri", "must be a URI"),
        ("{broken", "is not valid JSON"),
        ({"hots": "x"}, "'hots'"),
        (5, "must"),
    ],
)
def test_a_connection_that_is_none_is_refused_without_repeating_it(connection: Any, problem: str) -> None:
    with DAG("d") as dag:
        Does(task_id="x", function=lambda context: context["conn"].db)
    reason = run_dag(dag, connections={"db": connection}).get_task_instance("x").reason
    assert problem in reason
    assert "broken" not in reason


@pytest.mark.parametrize(
    ("name", "text"), [("v.json", "[1]"), ("v.json", "{"), ("v.yaml", "a: ["), ("gone.json", None)]
)
def test_a_file_of_variables_that_cannot_be_read_is_refused(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with DAG("d") as dag:
        Does(task_id="x")
    with pytest.raises(UsageError, match=name):
        run_dag(dag, variable_file_path=tmp_path / name)


def test_tasks_can_be_marked_instead_of_run() -> None:
    with DAG("d") as dag:
        Does(task_id="deploy_all", function=lambda context: 1 / 0) >> Does(task_id="check")
    run = run_dag(dag, mark_success_pattern="^deploy_")
    assert states(run) == {"deploy_all": "success", "check": "success"}
    assert run.get_task_instance("deploy_all").try_number == 0


def test_execution_timeout_is_kept() -> None:
    def forever(context: Any) -> None:
        while True:
            pass

    with DAG("d") as dag:
        Does(task_id="x", function=forever, execution_timeout=timedelta(milliseconds=20))
    run = run_dag(dag)
    assert run.get_task_instance("x").reason == "TimeoutError: execution_timeout of 0.02 s is over"


def test_each_try_has_its_ids_in_the_environment() -> None:
    with DAG("d") as dag:
        Does(task_id="x", function=lambda context: [os.environ["ATTEMPT_ID"], os.environ["IDEMPOTENCY_KEY"]])
    run = run_dag(dag)
    attempt_id, key = run.xcom_pull("x")
    assert len(attempt_id) == 32
    assert key == f"d/{run.run_id}/x/-1"
    assert "ATTEMPT_ID" not in os.environ


def test_an_unknown_task_names_the_nearest() -> None:
    with DAG("d") as dag:
        Does(task_id="extract")
    with pytest.raises(UsageError, match="Did you mean 'extract'"):
        run_dag(dag).get_task_instance("extrct")


def test_a_thousand_tasks_in_a_row_are_no_trouble() -> None:
    with DAG("d") as dag:
        tasks = [Does(task_id=f"t{number}") for number in range(1000)]
        for above, below in pairwise(tasks):
            above >> below
    assert run_dag(dag).state == "success"


def test_running_needs_no_database_no_server_and_no_jinja() -> None:
    program = """
import sys
from clockmill import DAG
from clockmill.operators.python import PythonOperator
from clockmill.runtime.inprocess import run_dag
with DAG("d") as dag:
    PythonOperator(task_id="x", python_callable=lambda: 1)
assert run_dag(dag).state == "success"
loaded = {"sqlalchemy", "flask", "celery", "jinja2", "numpy", "yaml", "asyncio"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True)
