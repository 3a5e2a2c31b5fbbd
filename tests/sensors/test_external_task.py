"""A sensor of runs of other DAGs and of tasks in them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from clockmill import DAG
from clockmill.errors import DagDefinitionError
from clockmill.protocols import StatesSeen
from clockmill.sensors.external_task import ExternalTaskMarker, ExternalTaskSensor
from clockmill.xcom import decode
from tests.waiting import NOON, Channel, Try, one_try, run_of

HOUR = timedelta(hours=1)


def waits(*runs: dict[str, Any], is_known: bool = True, missing: tuple[str, ...] = (), **arguments: Any) -> Try:
    waiting = one_try(ExternalTaskSensor, external_dag_id="other", **({"mode": "reschedule"} | arguments))
    seen = StatesSeen(is_known=is_known, missing=list(missing), runs=list(runs))
    waiting.channel = Channel(answer=lambda query: seen)
    return waiting


RULES = {"failed_states": ["failed"], "skipped_states": ["skipped"]}


@pytest.mark.parametrize(
    ("runs", "arguments", "outcome"),
    [
        ([], {}, "rescheduled"),
        ([run_of("running")], {}, "rescheduled"),
        ([run_of("success")], {}, "success"),
        ([run_of("failed")], {}, "rescheduled"),
        ([run_of("failed")], {"failed_states": ["failed"]}, "failed"),
        ([run_of("failed")], {"allowed_states": ["success", "failed"]}, "success"),
        ([run_of("running", a={"success": 1})], {"external_task_id": "a"}, "success"),
        ([run_of("success")], {"external_task_id": "a"}, "rescheduled"),
        ([run_of("running", a={"success": 2, "running": 1})], {"external_task_id": "a"}, "rescheduled"),
        ([run_of("running", a={"success": 3})], {"external_task_id": "a"}, "success"),
        ([run_of("running", a={"success": 2, "failed": 1})], {"external_task_id": "a", **RULES}, "failed"),
        ([run_of("running", a={"success": 2, "skipped": 1})], {"external_task_id": "a", **RULES}, "skipped"),
        ([run_of("running", a={"success": 1})], {"external_task_ids": ["a", "b"]}, "rescheduled"),
        ([run_of("running", a={"success": 1}, b={"success": 1})], {"external_task_ids": ["a", "b"]}, "success"),
        ([run_of("running", a={"success": 1}, b={"running": 1})], {"external_task_group_id": "g"}, "rescheduled"),
        ([run_of("running", a={"success": 1}, b={"success": 1})], {"external_task_group_id": "g"}, "success"),
        ([run_of("running")], {"external_task_group_id": "g"}, "rescheduled"),
    ],
)
def test_what_states_mean(runs: list[dict[str, Any]], arguments: dict[str, Any], outcome: str) -> None:
    report = waits(*runs, **arguments).attempt()
    assert (report.outcome, report.no_retry) == (outcome, outcome == "failed")


@pytest.mark.parametrize(
    ("arguments", "dates"),
    [
        ({}, [NOON]),
        ({"execution_delta": HOUR}, [NOON - HOUR]),
        ({"execution_date_fn": lambda date: date + HOUR}, [NOON + HOUR]),
        ({"execution_date_fn": lambda date, ti: [date, date - HOUR * len(ti.task_id)]}, [NOON, NOON - HOUR]),
    ],
)
def test_which_runs_are_looked_for(arguments: dict[str, Any], dates: list[datetime]) -> None:
    waiting = waits(external_task_id="{{ run_id }}", **arguments)
    waiting.attempt()
    (query,) = waiting.channel.queries
    assert query.logical_dates is not None
    assert [datetime.fromisoformat(date) for date in query.logical_dates] == dates
    assert (query.dag_id, query.task_ids, query.check) == ("other", ["scheduled__1"], False)


def test_every_run_must_have_come_to_its_end() -> None:
    dates = {"execution_date_fn": lambda date: [date, date - HOUR]}
    assert waits(run_of("success"), **dates).attempt().outcome == "rescheduled"
    assert waits(run_of("success"), run_of("success", "r2"), **dates).attempt().outcome == "success"


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"is_known": False}, "NotFound: There is no DAG 'other'."),
        ({"missing": ("a",)}, "NotFound: There is no task in DAG 'other' of the name 'a'."),
    ],
)
def test_what_does_not_exist_is_waited_for_unless_it_is_checked(seen: dict[str, Any], reason: str) -> None:
    assert waits(external_task_id="a", **seen).attempt().outcome == "rescheduled"
    report = waits(external_task_id="a", check_existence=True, **seen).attempt()
    assert (report.outcome, report.reason) == ("failed", reason)


def test_a_deferred_sensor_ends_as_its_trigger_says() -> None:
    for status, outcome in (("success", "success"), ("failed", "failed"), ("skipped", "skipped")):
        waiting = waits(deferrable=True, external_task_id="a", mode="poke", poke_interval=7, **RULES)
        told = waiting.attempt().defer
        assert told is not None
        assert told["class_path"] == "clockmill.triggers.external_task.WorkflowTrigger"
        kwargs = decode(told["kwargs"])
        assert (kwargs["external_dag_id"], kwargs["external_task_ids"]) == ("other", ["a"])
        assert (kwargs["logical_dates"], kwargs["poke_interval"]) == ([NOON], 7.0)
        report = waiting.go_on({"status": status})
        assert (report.outcome, report.no_retry) == (outcome, outcome == "failed")


def test_soft_fail_turns_a_failed_task_there_into_a_skip_here() -> None:
    assert waits(run_of("failed"), failed_states=["failed"], soft_fail=True).attempt().outcome == "skipped"


def test_a_run_without_a_logical_date_says_what_is_missing() -> None:
    waiting = waits()
    waiting.run = {"logical_date": None}
    assert "has no logical date" in waiting.attempt().reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"external_task_id": "a", "external_task_ids": ["b"]}, "give external_task_id or external_task_ids, not both"),
        ({"execution_delta": HOUR, "execution_date_fn": print}, "give execution_delta or execution_date_fn, not both"),
        ({"execution_delta": 3}, "execution_delta must be a timedelta, not 3"),
        ({"allowed_states": ["sucess"]}, "allowed_states must be one of"),
        ({"allowed_states": ["skipped"]}, "allowed_states must be one of queued, running, success, failed"),
        ({"failed_states": ["success"]}, "the state 'success' is given twice"),
    ],
)
def test_what_cannot_be_is_refused_in_the_file(arguments: dict[str, Any], message: str) -> None:
    with DAG("d"), pytest.raises(DagDefinitionError) as refused:
        ExternalTaskSensor(task_id="x", external_dag_id="other", **arguments)
    assert message in str(refused.value)


def test_a_function_that_gives_no_date_is_told() -> None:
    report = waits(execution_date_fn=lambda date: "yesterday").attempt()
    assert "execution_date_fn must return a datetime with a time zone, or several, not 'yesterday'" in report.reason


def test_a_marker_needs_no_process() -> None:
    with DAG("d"):
        assert ExternalTaskMarker(task_id="x", external_dag_id="other", external_task_id="a").is_empty
