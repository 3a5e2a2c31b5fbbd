"""A DAG file dropped in the folder of a running program: triggered, watched and read by the commands."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from clockmill.clock import SystemClock

pytestmark = pytest.mark.timeout(120)

DAGS = """
from pathlib import Path
from time import sleep
from clockmill import DAG, task

with DAG("good"):

    @task
    def give():
        print("giving")
        return {"rows": 3}

    @task
    def take(found):
        print("took", found["rows"])

    take(give())

with DAG("bad"):

    @task
    def breaks():
        raise ValueError("ouch")

    breaks()

with DAG("waiting"):

    @task
    def waits():
        print("waiting", flush=True)
        while not Path("FLAG").exists():
            sleep(0.05)

    waits()
"""


def eventually(look: Any) -> Any:
    """What ``look`` gives as soon as it gives something."""
    clock = SystemClock()
    give_up_at = clock.monotonic() + 60
    while not (found := look()):
        assert clock.monotonic() < give_up_at, "it never came"
        clock.sleep(0.05)
    return found


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    return tmp_path / "flag"


@pytest.fixture
def running(program: Any, start: Any, flag: Path) -> Iterator[Any]:
    """The program on the home of this test, with the DAGs above dropped in while it runs."""
    running = start(home=program.home)
    running.ready()
    (program.home / "dags" / "dropped.py").write_text(DAGS.replace("FLAG", str(flag)))
    eventually(lambda: len(program.json("dags", "list")) == 3)
    return running


def test_a_run_is_triggered_awaited_and_read(program: Any, running: Any) -> None:
    run = program.json("dags", "trigger", "good", "--run-id", "one", "--wait")

    states = program.json("tasks", "states-for-dag-run", "good", "one")
    assert run["state"] == "success"
    assert [(row["task_id"], row["state"], row["try_number"]) for row in states] == [
        ("give", "success", 1),
        ("take", "success", 1),
    ]
    assert "took 3" in program.ok("tasks", "logs", "good", "one", "take")
    assert '"rows": 3' in program.ok("xcoms", "get", "good", "one", "give")


def test_waiting_for_a_run_that_fails_ends_with_status_1(program: Any, running: Any) -> None:
    result = program("dags", "trigger", "bad", "--run-id", "one", "--wait")

    assert result.exit_code == 1
    assert "The run 'one' failed: failed tasks: breaks.\nSee 'clockmill why bad one breaks'.\n" in result.stderr
    assert "ouch" in program.ok("tasks", "logs", "bad", "one", "breaks", "--follow")
    assert "finished" in program.ok("why", "bad", "one", "breaks")


def test_a_cleared_task_runs_again(program: Any, running: Any) -> None:
    program.ok("dags", "trigger", "good", "--run-id", "one", "--wait")

    program.ok("tasks", "clear", "good", "--run", "one", "--task", "take", "--downstream", "--yes")

    def tries() -> list[int]:
        rows = program.json("tasks", "states-for-dag-run", "good", "one")
        return [row["try_number"] for row in rows if row["state"] == "success"]

    eventually(lambda: tries() == [1, 2])


def test_a_task_that_is_stopped_with_the_program_goes_on_with_it_and_spends_no_try(
    program: Any, running: Any, start: Any, flag: Path
) -> None:
    program.ok("dags", "trigger", "waiting", "--run-id", "one")
    eventually(lambda: program.ok("tasks", "state", "waiting", "one", "waits") == "running\n")
    processes = running.tree()

    code, _ = running.end(signal.SIGTERM, signal.SIGINT)

    assert code == 0
    assert psutil.wait_procs(processes, timeout=60)[1] == []
    assert program.ok("tasks", "state", "waiting", "one", "waits") == "scheduled\n"
    flag.touch()
    start(home=program.home).ready()
    eventually(lambda: program.json("dags", "list-runs", "waiting")[0]["state"] == "success")
    (row,) = program.json("tasks", "states-for-dag-run", "waiting", "one")
    assert row["try_number"] == 1


def test_a_report_tells_what_each_file_holds(program: Any, running: Any) -> None:
    (row,) = program.json("dags", "report")

    assert (row["file"], row["dags"], row["tasks"]) == ("dropped.py", 3, 4)
    assert row["seconds"] > 0
    assert row["seconds"] == round(row["seconds"], 6)
    assert "running dag-processor" in program.ok("dags", "reserialize")


def test_reserialize_parses_every_file_when_nobody_else_does(program: Any) -> None:
    (program.home / "dags" / "dropped.py").write_text(DAGS)
    (program.home / "dags" / "broken.py").write_text("from clockmill import DAG, nothing_of_that_name\n")

    output = program.ok("dags", "reserialize")

    assert "1 could not be imported" in output
    assert {"good", "bad", "waiting"} <= {row["dag_id"] for row in program.json("dags", "list")}
    (error,) = program.json("dags", "list-import-errors")
    assert (error["file"], error["line"]) == ("broken.py", 1)
