"""The operator that triggers another DAG: what it asks for, how it waits, how it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clockmill import DAG
from clockmill.errors import DagDefinitionError
from clockmill.ids import id_problem
from clockmill.operators.trigger_dagrun import TriggerDagRunOperator, derived_run_id
from clockmill.protocols import StatesSeen
from clockmill.testing import FakeClock
from clockmill.xcom import decode
from tests.waiting import NOON, Channel, Try, one_try, run_of


def trigger(**arguments: Any) -> Try:
    return one_try(TriggerDagRunOperator, **({"trigger_dag_id": "other"} | arguments))


def states(*names: str) -> Channel:
    """Tells of a run that comes to these states in turn."""
    told = list(names)
    return Channel(answer=lambda query: StatesSeen(is_known=True, runs=[run_of(told.pop(0))] if told else []))


def test_the_run_is_asked_for_with_the_end_of_the_task() -> None:
    waiting = trigger(
        trigger_dag_id="{{ 'oth' ~ 'er' }}",
        conf={"day": "{{ ds }}", "n": [1, None]},
        logical_date="{{ ds }}",
        run_after=datetime(2026, 2, 1, tzinfo=UTC),
        reset_dag_run=True,
        skip_when_already_exists=True,
        fail_when_dag_is_paused=True,
    )
    report = waiting.attempt()
    (asked,) = report.run_requests
    run_id = asked.pop("run_id")
    assert asked == {
        "dag_id": "other",
        "conf": {"day": "2026-01-31", "n": [1, None]},
        "logical_date": "2026-01-31T00:00:00.000000+00:00",
        "run_after": "2026-02-01T00:00:00.000000+00:00",
        "reset": True,
        "skip_existing": True,
        "fail_paused": True,
    }
    assert (report.outcome, report.xcoms) == ("success", [("trigger_run_id", f'"{run_id}"')])


def test_each_try_asks_for_the_same_run_and_another_task_instance_for_another() -> None:
    waiting = trigger()
    first = waiting.attempt().run_requests[0]["run_id"]
    waiting.clock = FakeClock(NOON + timedelta(days=1))
    assert waiting.attempt().run_requests[0]["run_id"] == first
    assert first.startswith("operator_triggered__d.x__scheduled__1__")


class _Key:
    """What an id is derived from."""

    def __init__(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = dag_id, run_id, task_id, map_index


def test_derived_ids_are_ids_and_differ() -> None:
    keys = [
        _Key("a", "r", "t"),
        _Key("a", "r", "t", 0),
        _Key("a", "r", "t", 1),
        _Key("a.t", "r", "x"),
        _Key("a", "r", "t.x"),
        _Key("a.", "r", ".x".lstrip(".")),
        _Key("a" * 250, "r" * 250, "t" * 250),
        _Key("a" * 250, "r" * 250, "t" * 249 + "x"),
    ]
    ids = [derived_run_id(key) for key in keys]
    assert len(set(ids)) == len(ids)
    assert [id_problem("run", run_id) for run_id in ids] == [None] * len(ids)


def test_it_gives_its_slot_back_and_asks_once_while_it_waits() -> None:
    waiting = trigger(wait_for_completion=True, poke_interval=30)
    waiting.channel = states("queued", "running", "success")
    assert waiting.work().outcome == "success"
    assert [len(report.run_requests) for report in waiting.reports] == [1, 0, 0, 0]
    assert waiting.clock.now() == NOON + timedelta(seconds=90)
    asked = waiting.reports[0].run_requests[0]["run_id"]
    assert [query.run_ids for query in waiting.channel.queries] == [[asked]] * 3


def test_a_run_that_fails_fails_the_task_that_waits_for_it() -> None:
    waiting = trigger(wait_for_completion=True)
    waiting.channel = states("running", "failed")
    report = waiting.work()
    assert (report.outcome, report.no_retry) == ("failed", False)
    assert "of DAG 'other' came to the state failed." in report.reason


def test_other_states_can_be_wanted() -> None:
    waiting = trigger(wait_for_completion=True, allowed_states=["failed"], failed_states=["success"])
    waiting.channel = states("failed")
    assert waiting.work().outcome == "success"
    waiting = trigger(wait_for_completion=True, allowed_states=["running", "success"])
    waiting.channel = states("running")
    assert waiting.work().outcome == "success"


def test_a_run_that_is_deleted_while_it_is_waited_for_fails_the_task() -> None:
    waiting = trigger(wait_for_completion=True)
    waiting.channel = states("running")
    assert "is gone" in waiting.work().reason


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_trigger_looks_in_its_place_when_it_is_deferred(state: str) -> None:
    waiting = trigger(wait_for_completion=True, deferrable=True, poke_interval=5)
    report = waiting.attempt()
    (asked,) = report.run_requests
    assert report.outcome == "deferred"
    assert report.defer is not None
    assert report.defer["class_path"] == "clockmill.triggers.external_task.DagStateTrigger"
    kwargs = decode(report.defer["kwargs"])
    assert (kwargs["dag_id"], kwargs["run_ids"], kwargs["poll_interval"]) == ("other", [asked["run_id"]], 5.0)
    assert kwargs["states"] == ["success", "failed"]
    done = waiting.go_on({asked["run_id"]: state})
    assert (done.outcome, done.run_requests) == (state, [])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"conf": [1]}, "conf must be a dictionary, not [1]."),
        ({"conf": {"x": {1}}}, "conf cannot be stored as JSON: Object of type set is not JSON serializable."),
        ({"trigger_run_id": "a/b"}, "The run id 'a/b' may hold only letters"),
        ({"trigger_dag_id": ""}, "A DAG id must be a non-empty string"),
        ({"logical_date": "soon"}, "logical_date must be a datetime or ISO 8601 text, not 'soon'."),
    ],
)
def test_what_templates_make_wrong_is_told(arguments: dict[str, Any], reason: str) -> None:
    report = trigger(**arguments).attempt()
    assert (report.outcome, report.run_requests) == ("failed", [])
    assert reason in report.reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"allowed_states": ["sucess"]}, "allowed_states must be one of queued, running, success, failed"),
        ({"deferrable": True}, "give wait_for_completion=True"),
        ({"execution_date": "x"}, "It is called 'logical_date' now"),
    ],
)
def test_what_cannot_be_is_refused_in_the_file(arguments: dict[str, Any], message: str) -> None:
    with DAG("d"), pytest.raises(DagDefinitionError) as refused:
        TriggerDagRunOperator(task_id="x", trigger_dag_id="other", **arguments)
    assert message in str(refused.value)


@pytest.mark.parametrize("how", [{}, {"wait_for_completion": True}, {"wait_for_completion": True, "deferrable": True}])
def test_a_try_out_makes_no_run_but_tells_which_one_would_be(how: dict[str, Any]) -> None:
    with DAG("d", schedule=None) as dag:
        TriggerDagRunOperator(task_id="x", trigger_dag_id="other", conf={"n": 1}, poke_interval=0, **how)
    run = dag.test()
    assert run.state == "success"
    (request,) = run.triggered
    assert (request.dag_id, request.conf) == ("other", {"n": 1})
    assert run.xcom_pull("x", key="trigger_run_id") == request.run_id


def test_each_instance_of_a_mapped_task_asks_for_a_run_of_its_own() -> None:
    with DAG("d", schedule=None) as dag:
        TriggerDagRunOperator.partial(task_id="x", trigger_dag_id="other").expand(conf=[{"n": 1}, {"n": 2}])
    run = dag.test()
    assert [request.conf for request in run.triggered] == [{"n": 1}, {"n": 2}]
    assert len({request.run_id for request in run.triggered}) == 2
