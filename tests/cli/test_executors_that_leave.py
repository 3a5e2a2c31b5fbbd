"""The executors in the configuration change while tasks run: what runs ends well, and costs no try."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_end_to_end import eventually

pytestmark = [pytest.mark.timeout(180), pytest.mark.fault]

DAG_FILE = """
import os
from clockmill import DAG, task

with DAG("long", schedule=None):

    @task
    def waits():
        open("GATE").read()

    waits()
"""


def executors_of(home: Path) -> list[str]:
    """The executor of each attempt, oldest first."""
    with contextlib.closing(sqlite3.connect(home / "clockmill.db")) as connection:
        return [row[0] for row in connection.execute("SELECT executor FROM attempt ORDER BY id")]


def test_a_task_of_an_executor_that_is_no_longer_chosen_ends_as_it_would_have(
    program: Any, start: Callable[..., Any], tmp_path: Path
) -> None:
    def choose(text: str) -> Any:
        (program.home / "clockmill.toml").write_text(f'[core]\nexecutor = "{text}"\n')
        running = start(home=program.home)
        running.ready()
        return running

    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (program.home / "dags" / "long.py").write_text(DAG_FILE.replace("GATE", str(gate)))
    first = choose("old:local")
    eventually(lambda: program.json("dags", "list"))
    program.ok("dags", "trigger", "long", "--run-id", "one")
    eventually(lambda: program.ok("tasks", "state", "long", "one", "waits") == "running\n")
    first.end(signal.SIGKILL)
    choose("local")
    with gate.open("w"):
        pass
    eventually(lambda: program.ok("tasks", "state", "long", "one", "waits") == "success\n")
    assert len(program.json("tasks", "attempts", "long", "one", "waits")) == 1
    program.ok("dags", "trigger", "long", "--run-id", "two")
    with gate.open("w"):
        pass
    eventually(lambda: program.ok("tasks", "state", "long", "two", "waits") == "success\n")
    assert executors_of(program.home) == ["old", "local"]
