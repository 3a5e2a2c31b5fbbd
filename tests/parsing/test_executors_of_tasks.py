"""A task may name the executors that are configured, and each executor may say what it takes of a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PICKY = """
from clockmill.executors.local import LocalExecutor

class PickyExecutor(LocalExecutor):
    @staticmethod
    def check_config(config):
        if set(config) - {"niceness"}:
            raise ValueError(f"there is no key {sorted(config)[0]!r}; it knows niceness.")
"""


@pytest.fixture
def work(station: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A station with the executors local and picky."""
    (tmp_path / "picky_for_tests.py").write_text(PICKY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    station.overrides["core.executor"] = "local,picky:picky_for_tests:PickyExecutor"
    return station


def write(station: Any, arguments: str, dag: str = "") -> None:
    station.write(
        "d.py",
        f"from clockmill import DAG\nfrom clockmill.operators.empty import EmptyOperator\nwith DAG('d'{dag}):\n"
        f"    EmptyOperator(task_id='t'{arguments})\n",
    )
    station.look()


@pytest.mark.parametrize(
    ("arguments", "dag"),
    [
        (", executor='picky', executor_config={'niceness': 3}", ""),
        (", executor_config={'niceness': 3}", ", executor='picky'"),
        (", executor='local', executor_config={'anything': 3}", ", executor='picky'"),
        (", executor_config={'anything': 3}", ""),
        (", executor_config={}", ", default_args={'executor': 'picky'}"),
    ],
)
def test_tasks_of_executors_that_are_configured_are_taken(work: Any, arguments: str, dag: str) -> None:
    write(work, arguments, dag)
    assert (work.errors(), work.active()) == ({}, ["d"])


@pytest.mark.parametrize(
    ("arguments", "dag"),
    [(", executor='pickie'", ""), ("", ", executor='pickie'"), ("", ", default_args={'executor': 'pickie'}")],
)
def test_an_executor_that_is_not_configured_is_refused_with_the_nearest(work: Any, arguments: str, dag: str) -> None:
    write(work, arguments, dag)
    assert work.errors() == {
        "d.py": "DAG 'd', task 't': there is no executor 'pickie'. Did you mean 'picky'? "
        "[core] executor names local, picky."
    }


def test_an_executor_config_that_its_executor_does_not_take_is_refused(work: Any) -> None:
    write(work, ", executor='picky', executor_config={'nicenes': 3}")
    assert work.errors() == {
        "d.py": "DAG 'd', task 't': the executor 'picky' does not take its executor_config: "
        "there is no key 'nicenes'; it knows niceness."
    }


def test_a_task_of_another_user_goes_only_where_it_becomes_that_user(work: Any) -> None:
    work.overrides["core.executor"] = "local,subprocess"
    write(work, ", executor='subprocess', run_as_user='etl'")
    assert (work.errors(), work.active()) == ({}, ["d"])
    write(work, ", run_as_user='etl'")
    assert work.errors() == {
        "d.py": "DAG 'd', task 't': the executor 'local' cannot act on run_as_user='etl': all that it runs belongs to "
        "its own user. Send the task to the executor subprocess, or leave that out."
    }


def test_a_file_is_parsed_again_when_the_executors_have_changed(work: Any) -> None:
    write(work, ", executor='local2'")
    assert "there is no executor 'local2'" in work.errors()["d.py"]
    work.overrides["core.executor"] = "local,local2:local"
    work.processor().run_once()
    assert (work.errors(), work.active()) == ({}, ["d"])
