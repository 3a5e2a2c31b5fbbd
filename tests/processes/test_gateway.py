"""What a task reads comes through its supervisor, which never waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

ASK = """
from clockmill.model.context import get_current_context
def ask(): print('value', get_current_context()['var'].value.get('city'))
def ask_connection(): print('value', get_current_context()['conn'].db)
def other(): pass
"""


@pytest.fixture
def executor(bench, monkeypatch):
    """An executor whose supervisor asks the gateway of the tests."""
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path.cwd()}")
    (bench.home / "values").mkdir()
    bench.dag_file(ASK)
    return bench.executor(gateway_spec={"folder": str(bench.home / "values")})


def test_a_task_reads_a_variable(bench, executor):
    (bench.home / "values" / "city").write_text("Seattle")
    assert bench.run(executor, "ask").outcome == "success"
    assert bench.said("ask") == ["value Seattle"]


def test_a_gateway_that_is_away_for_a_while_is_not_noticed_by_the_task(bench, executor):
    (bench.home / "values" / "city").write_text("Seattle")
    (bench.home / "values" / "away").touch()
    assert bench.run(executor, "ask").outcome == "success"
    assert not (bench.home / "values" / "away").exists()


def test_a_task_that_is_no_longer_ours_is_ended(bench, executor):
    (bench.home / "values" / "gone").touch()
    report = bench.run(executor, "ask")
    assert (report.outcome, report.reason) == ("stopped", "A person cleared the task.")


def test_a_stuck_gateway_holds_up_the_one_who_asks_and_nobody_else(bench, executor):
    (bench.home / "values" / "stuck").touch()
    asking = bench.workload("ask")
    bench.up(executor)
    executor.submit(next(iter(executor.free_slots())), [asking])
    bench.wait(executor, lambda event: getattr(event, "attempt_id", "") == asking.attempt_id)
    assert bench.run(executor, "other").outcome == "success"
    executor.stop_attempts([asking.attempt_id], "enough")
    assert bench.finished(executor, asking).outcome == "stopped"


def test_a_read_that_fails_fails_the_task_with_the_reason(bench, executor):
    report = bench.run(executor, "ask_connection")
    assert report.outcome == "failed"
    assert "no key to decrypt db" in report.reason
