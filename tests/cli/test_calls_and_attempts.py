"""Killed tasks, callbacks and deadlines of a real run, as the commands show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clockmill.host.processes import host_name
from tests.cli.test_end_to_end import eventually

pytestmark = pytest.mark.timeout(120)

DAGS = """
import json, os
from datetime import timedelta
from pathlib import Path
from clockmill import DAG, DeadlineAlert, DeadlineReference, task

def note(context):
    told = [context["task"].task_id if "task" in context else None, context["reason"], context.get("failed_tasks")]
    print("noting", told[0])
    with Path("TOLD").open("a") as file:
        file.write(json.dumps(told) + "\\n")

late = DeadlineAlert(
    name="at once", reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(0), callback=note
)
with DAG("killed", schedule=None, deadline=late, on_failure_callback=note):

    @task(retries=5, on_failure_callback=note, on_retry_callback=print)
    def die():
        print("dying", flush=True)
        os.kill(os.getpid(), 9)

    die()
"""


def test_a_killed_task_and_its_run_are_called_about_once_and_every_attempt_is_kept(
    program: Any, start: Any, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    (program.home / "clockmill.toml").write_text("[core]\ncrash_budget = 1\n")
    start(home=program.home).ready()
    (program.home / "dags" / "dropped.py").write_text(DAGS.replace("TOLD", str(told)))
    eventually(lambda: program.json("dags", "list"))

    program("dags", "trigger", "killed", "--run-id", "one", "--wait")
    eventually(lambda: all(row["state"] == "success" for row in program.json("runs", "callbacks", "killed", "one")))
    calls = program.json("runs", "callbacks", "killed", "one")
    lines = [json.loads(line) for line in told.read_text().splitlines()]

    names = sorted((row["callback"], row["task_id"] or "") for row in calls)
    assert names == [("deadline:0", ""), ("on_failure_callback", ""), ("on_failure_callback", "die")]
    by_task = [line for line in lines if line[0] == "die"]
    assert len(lines) == 3 and len(by_task) == 1 and "SIGKILL" in by_task[0][1]
    assert [line[1:] for line in lines if line[2]] == [["task_failure: die", ["die"]]]
    logs = [Path(row["log"]).read_text() for row in calls]
    assert sorted("noting die" in log for log in logs) == [False, False, True]

    attempts = program.json("tasks", "attempts", "killed", "one", "die")
    assert [(row["try_number"], row["state"], row["signal"]) for row in attempts] == [(1, "lost", 9)] * 2
    assert all(row["queued_at"] <= row["claimed_at"] <= row["started_at"] <= row["ended_at"] for row in attempts)
    assert all(row["peak_memory_kb"] > 1000 and "SIGKILL" in row["reason"] for row in attempts)
    assert {row["host"] for row in attempts} == {host_name()} and all(row["worker"] for row in attempts)
    table = program.ok("tasks", "attempts", "killed", "one", "die")
    assert ["host" in table, "signal" in table, "resources" in table, "worker" in table] == [True, True, False, False]
    (deadline,) = program.json("runs", "deadlines", "killed", "one")
    assert (deadline["name"], deadline["state"]) == ("at once", "missed")
    assert "missed" in program.ok("why", "killed", "one", "die")
