"""``dags test``, ``tasks test`` and ``tasks render``: no service is there, and none is needed."""

from pathlib import Path
from typing import Any

import pytest

DAG = """
from datetime import datetime
from clockmill import DAG, task
from clockmill.operators.bash import BashOperator

with DAG("tested", start_date=datetime(2026, 1, 1), schedule="@daily", params={"who": "world"}):

    @task
    def hello(params):
        print("hello", params["who"])
        return 1

    BashOperator(task_id="say", bash_command="echo {{ ds }} {{ var.value.city }} {{ params.who }}")
    hello()

with DAG("failing"):

    @task
    def fails():
        raise ValueError("ouch")

    @task
    def after():
        print("never")

    fails() >> after()
"""


@pytest.fixture
def dag_file(program: Any) -> Path:
    file: Path = program.home / "dags" / "tested.py"
    file.write_text(DAG)
    (program.home / "dags" / "broken.py").write_text("import nothing_of_that_name\n")
    program.ok("variables", "set", "city", "Bern")
    return file


def test_a_dag_runs_in_this_process(program: Any, dag_file: Path) -> None:
    output = program.ok("dags", "test", "tested", "2026-01-05", "--conf", '{"who": "Ada"}')

    assert "hello Ada" in output
    assert output.endswith("The run of tested ended as success.\n")


def test_a_dag_that_fails_ends_with_status_1_and_says_which_task(program: Any, dag_file: Path) -> None:
    result = program("dags", "test", "failing")

    assert result.exit_code == 1
    assert "upstream_failed" in result.stdout
    assert result.stdout.endswith("The run of failing ended as failed.\n")


def test_an_unknown_dag_names_the_nearest(program: Any, dag_file: Path) -> None:
    told = f"clockmill: There is no DAG 'testet' in {program.home / 'dags'}. Did you mean 'tested'?"
    assert program.refused("dags", "test", "testet") == told


def test_a_file_that_cannot_be_imported_is_told_with_its_line(program: Any) -> None:
    file = program.home / "dags" / "mine.py"
    file.write_text("from clockmill import DAG\nDAG('mine', schedul=None)\n")

    line = program.refused("dags", "test", "mine")

    assert line.startswith(f"clockmill: {file}, line 2: ")
    assert "schedule" in line


def test_an_example_runs_from_a_home_without_a_database(program: Any) -> None:
    (program.home / "clockmill.db").unlink()

    assert "ended as success" in program.ok("dags", "test", "heartbeat")


def test_one_task_runs_alone(program: Any, dag_file: Path) -> None:
    assert "hello world" in program.ok("tasks", "test", "tested", "hello")


def test_one_task_that_fails_ends_with_status_1(program: Any, dag_file: Path) -> None:
    result = program("tasks", "test", "failing", "fails")

    assert result.exit_code == 1
    assert "ouch" in result.stdout


def test_template_fields_are_shown_filled_in(program: Any, dag_file: Path) -> None:
    fields = program.json("tasks", "render", "tested", "say", "2026-01-05")

    assert fields["bash_command"] == "echo 2026-01-05 Bern world"


def test_an_unknown_task_names_the_nearest(program: Any, dag_file: Path) -> None:
    line = program.refused("tasks", "render", "tested", "sai")

    assert "Did you mean 'say'?" in line


@pytest.mark.parametrize("arguments", [["yesterday"], ["--conf", "{"], ["--conf", "[]"]])
def test_a_bad_argument_is_refused(program: Any, arguments: list[str]) -> None:
    program.refused("dags", "test", "heartbeat", *arguments, status=2)
