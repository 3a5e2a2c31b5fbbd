"""Sensors that ask a function, a command, or the file system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clockmill import DAG, PokeReturnValue, task
from clockmill.errors import DagDefinitionError
from clockmill.sensors.bash import BashSensor
from clockmill.sensors.filesystem import FileSensor
from clockmill.sensors.python import PythonSensor
from clockmill.sensors.time_delta import WaitSensor
from tests.waiting import Channel, Try, one_try, result_of


def test_the_function_is_given_arguments_and_context() -> None:
    def is_even(n: int, ti: Any, templates_dict: dict[str, str]) -> bool:
        return n % 2 == 0 and ti.task_id == "x" and templates_dict["run"] == "scheduled__1"

    for n, outcome in ((2, "success"), (3, "rescheduled")):
        waiting = one_try(
            PythonSensor,
            python_callable=is_even,
            op_kwargs={"n": n},
            templates_dict={"run": "{{ run_id }}"},
            mode="reschedule",
        )
        assert waiting.attempt().outcome == outcome


def test_a_decorated_sensor_hands_on_what_it_found() -> None:
    with DAG("d", schedule=None) as dag:

        @task.sensor(poke_interval=5, mode="reschedule")
        def x(limit: int, ti: Any) -> PokeReturnValue:
            return PokeReturnValue(ti.reschedules >= limit, {"n": ti.reschedules})

        @task
        def use(found: Any) -> None: ...

        use(x(2))
    assert dag.get_task("use").upstream_task_ids == {"x"}
    waiting = Try(dag.get_task("x"))
    assert result_of(waiting.work()) == {"n": 2}
    assert waiting.reschedules == 2


def test_a_plain_value_of_a_decorated_sensor_is_true_or_not() -> None:
    with DAG("d", schedule=None) as dag:

        @task.sensor
        def x() -> list[int]:
            return [1]

        x()
    report = Try(dag.get_task("x")).attempt()
    assert (report.outcome, report.xcoms) == ("success", [])


@pytest.mark.parametrize(
    ("command", "retry", "outcome"),
    [
        ("exit 0", None, "success"),
        ("exit 1", None, "rescheduled"),
        ("exit 3", 3, "rescheduled"),
        ("exit 1", 3, "failed"),
        ("exit 0", 3, "success"),
        ('test "$WORD" = "scheduled__1"', None, "success"),
    ],
)
def test_the_exit_code_of_a_command_decides(command: str, retry: int | None, outcome: str) -> None:
    waiting = one_try(
        BashSensor,
        bash_command=command,
        env={"WORD": "{{ run_id }}"},
        append_env=True,
        retry_exit_code=retry,
        mode="reschedule",
    )
    report = waiting.attempt()
    assert (report.outcome, report.no_retry) == (outcome, outcome == "failed")


def test_a_command_that_templates_leave_empty_is_told() -> None:
    report = one_try(BashSensor, bash_command="{{ '' }}").attempt()
    assert (report.outcome, report.reason) == ("failed", "UsageError: bash_command must be a command, not ''.")


@pytest.mark.parametrize(
    ("path", "made", "recursive", "found"),
    [
        ("a.csv", "a.csv", False, True),
        ("a.csv", "b.csv", False, False),
        ("*.csv", "b.csv", False, True),
        ("", "deep/er/a.csv", False, True),
        ("**/*.csv", "deep/er/a.csv", True, True),
        ("**/*.csv", "deep/er/a.csv", False, False),
        ("empty", "empty/", False, False),
        ("{{ run_id }}.csv", "scheduled__1.csv", False, True),
    ],
)
def test_files_folders_and_patterns(tmp_path: Path, path: str, made: str, recursive: bool, found: bool) -> None:
    (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / made).mkdir() if made.endswith("/") else (tmp_path / made).touch()
    waiting = one_try(FileSensor, filepath=f"{tmp_path}/{path}", recursive=recursive, mode="reschedule")
    assert waiting.attempt().outcome == ("success" if found else "rescheduled")


def test_a_path_may_be_relative_to_that_of_a_connection(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    extra = {"conn_id": "fs", "conn_type": "fs", "extra": {"path": str(tmp_path)}}
    waiting = one_try(FileSensor, filepath="a.csv", fs_conn_id="fs", mode="reschedule")
    waiting.channel = Channel(connections={"fs": extra})
    assert waiting.attempt().outcome == "success"


def test_a_deferred_file_sensor_hands_over_path_and_interval(tmp_path: Path) -> None:
    waiting = one_try(FileSensor, filepath=f"{tmp_path}/*.csv", recursive=True, deferrable=True, poke_interval=3)
    told = waiting.attempt().defer
    assert told is not None
    assert json.loads(told["kwargs"]) == {"filepath": f"{tmp_path}/*.csv", "recursive": True, "poke_interval": 3.0}
    assert waiting.go_on(f"{tmp_path}/a.csv").outcome == "success"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "UsageError: Task 'x': filepath must be a path, not ''."),
        ("in/a.csv", "UsageError: Task 'x': filepath must be absolute, not 'in/a.csv'; or name with fs_conn_id"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(path: str, reason: str) -> None:
    assert one_try(FileSensor, filepath=path).attempt().reason.startswith(reason)


def test_sensors_can_be_mapped() -> None:
    with DAG("d", schedule=None) as dag:

        @task.sensor(poke_interval=0)
        def x(n: int, ti: Any) -> PokeReturnValue:
            return PokeReturnValue(True, (ti.map_index, n))

        x.expand(n=[5, 6])
        WaitSensor.partial(task_id="waits", deferrable=True).expand(time_to_wait=[0, 0])
    run = dag.test()
    assert run.state == "success"
    assert run.xcom_pull("x") == [(0, 5), (1, 6)]


def test_a_sensor_needs_a_function() -> None:
    with DAG("d"), pytest.raises(DagDefinitionError, match="python_callable must be a function, not 3"):
        PythonSensor(task_id="x", python_callable=3)
