"""Runs that tasks ask for: made once, with the end of the attempt that asked, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from clockmill import DAG, Param
from clockmill.actions.dags import set_paused
from clockmill.actions.explain import explain
from clockmill.clock import iso
from clockmill.logs.paths import notes_file, path_for
from clockmill.operators.bash import BashOperator
from clockmill.protocols import RunRequest
from clockmill.scheduler.steps.advance import Advance
from clockmill.state import RunState, RunType, TaskState
from clockmill.storage.transitions import stop_attempts
from tests.mill import Mill


def dag(dag_id: str, retries: int = 0, **arguments: Any) -> DAG:
    with DAG(dag_id, schedule=None, **arguments) as made:
        BashOperator(task_id="t", bash_command="true", retries=retries)
    return made


@pytest.fixture
def asking(mill: Mill) -> Mill:
    """A task that is at work in a run of its own, and a DAG to ask for."""
    mill.add(dag("asks", retries=1))
    mill.add(dag("other", params={"n": Param(1, type="integer")}))
    mill.trigger("asks")
    return mill


def ask(mill: Mill, outcome: str = "success", *, dag_id: str = "other", **request: Any) -> None:
    asked = RunRequest(dag_id=dag_id, **{"run_id": "wanted", **request})
    extra = {"look_again_at": "2026-01-01T01:00:00+00:00"} if outcome == "rescheduled" else {}
    mill.executor.finish("t", outcome, run_id="r1", run_requests=[asked.to_json()], **extra)
    mill.pump()


def log_of(mill: Mill) -> list[str]:
    """What the scheduler wrote to the log of the first try."""
    path = path_for(mill.settings.logs_folder, dag_id="asks", run_id="r1", task_id="t")
    return notes_file(path).read_text().splitlines()


def test_the_run_is_there_and_begins_when_the_task_has_ended(asking: Mill) -> None:
    ask(asking, conf={"n": 2})
    run = asking.run("other", "wanted")
    assert (run.run_type, run.conf, run.state) == (RunType.OPERATOR_TRIGGERED, {"n": 2}, RunState.RUNNING)
    assert run.logical_date == asking.clock.now()
    assert asking.states("other", "wanted") == {"t": TaskState.RUNNING}
    assert asking.states("asks") == {"t": TaskState.SUCCESS}


def test_a_second_try_finds_the_run_that_is_there(asking: Mill) -> None:
    ask(asking)
    asking.clock.advance(1)
    asking.trigger("asks", "r2")
    asked = RunRequest(dag_id="other", run_id="wanted").to_json()
    asking.executor.finish("t", run_id="r2", run_requests=[asked])
    asking.pump()
    assert [run.run_id for run in asking.runs("other")] == ["wanted"]
    assert asking.states("asks", "r2") == {"t": TaskState.SUCCESS}


@pytest.mark.parametrize("outcome", ["failed", "skipped", "lost"])
def test_an_attempt_that_did_not_end_well_makes_no_run(asking: Mill, outcome: str) -> None:
    ask(asking, outcome)
    assert asking.runs("other") == []


def test_an_attempt_that_was_told_to_stop_makes_no_run(asking: Mill) -> None:
    task = asking.row("asks", "t")
    asking.db.write(lambda connection: stop_attempts(connection, [task.id]))
    ask(asking)
    assert asking.runs("other") == []


def test_a_report_that_comes_twice_makes_one_run(asking: Mill) -> None:
    report_of = asking.executor.unacknowledged
    asking.executor.acknowledge = lambda attempt_ids: None  # type: ignore[method-assign]
    ask(asking)
    assert report_of
    asking.restart()
    asking.pump()
    assert [run.run_id for run in asking.runs("other")] == ["wanted"]


def test_a_crash_before_the_commit_leaves_neither_run_nor_end(asking: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Advance, "_hand_out", crash)
    with pytest.raises(KeyboardInterrupt):
        ask(asking)
    assert (asking.runs("other"), asking.states("asks")) == ([], {"t": TaskState.RUNNING})
    monkeypatch.undo()
    asking.restart()
    asking.pump()
    assert len(asking.runs("other")) == 1
    assert asking.states("asks") == {"t": TaskState.SUCCESS}


def test_many_that_ask_at_one_moment_get_runs_of_their_own(mill: Mill) -> None:
    with DAG("asks", schedule=None) as many:
        for number in range(3):
            BashOperator(task_id=f"t{number}", bash_command="true")
    mill.add(many)
    mill.add(dag("other"))
    mill.trigger("asks")
    for number in range(3):
        asked = RunRequest(dag_id="other", run_id=f"wanted{number}")
        mill.executor.finish(f"t{number}", run_requests=[asked.to_json()])
    mill.pump()
    assert [run.run_id for run in mill.runs("other")] == ["wanted0", "wanted1", "wanted2"]
    assert {run.state for run in mill.runs("other")} == {RunState.RUNNING}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"dag_id": "othre"}, "There is no DAG 'othre'. Did you mean 'other'?"),
        ({"conf": {"n": "x"}}, "'x' is not of type 'integer'"),
        ({"run_id": "a/b"}, "The run id 'a/b' may hold only"),
        ({"conf": {"x": "\0"}}, "The configuration of a run holds text that cannot be stored"),
        ({"logical_date": "2025-05-05T00:00:00+00:00"}, "already has the logical date"),
    ],
)
def test_a_run_that_cannot_be_made_fails_the_task_with_the_reason_and_uses_no_retry(
    asking: Mill, request_: dict[str, Any], reason: str
) -> None:
    asking.trigger("other", "there", logical_date=datetime(2025, 5, 5, tzinfo=UTC))
    ask(asking, **request_)
    row = asking.row("asks", "t")
    assert (row.state, row.try_number, row.max_tries) == (TaskState.FAILED, 1, 2)
    assert reason in row.reason
    assert [run.run_id for run in asking.runs("other")] == ["there"]
    assert asking.run_state("asks") is RunState.FAILED
    (line,) = log_of(asking)
    assert line.endswith(
        f"*** failed, because the run that it asked for was not made: {row.reason} "
        "Another try would ask for the same, so there is none."
    )


def test_what_the_author_wants_called_at_a_failure_is_called_for_a_request_that_is_refused(mill: Mill) -> None:
    with DAG("asks", schedule=None) as asks:
        BashOperator(task_id="t", bash_command="true", on_failure_callback=print)
    mill.add(asks)
    mill.trigger("asks")
    asked = RunRequest(dag_id="other", run_id="wanted").to_json()
    mill.executor.finish("t", run_requests=[asked], called_back=True)
    mill.pump()
    (call,) = mill.executor.held.values()
    assert call.callback is not None
    assert call.callback["kind"] == "on_failure_callback"
    assert call.callback["context"]["reason"] == "There is no DAG 'other'."


def test_a_paused_dag_gets_a_run_that_waits_unless_that_shall_fail(asking: Mill) -> None:
    set_paused(asking.db, asking.clock, "other", paused=True, actor="test")
    ask(asking, fail_paused=True)
    assert asking.row("asks", "t").state is TaskState.UP_FOR_RETRY
    assert asking.row("asks", "t").reason == "DAG 'other' is paused, so its run would not begin."
    (line,) = log_of(asking)
    assert line.endswith("not made: DAG 'other' is paused, so its run would not begin.")
    asking.pass_time(minutes=5)
    ask(asking)
    assert asking.run_state("other", "wanted") is RunState.QUEUED


def test_a_run_that_somebody_else_made_is_taken_or_skips_the_task(asking: Mill) -> None:
    asking.trigger("other", "wanted")
    ask(asking, skip_existing=True)
    assert asking.states("asks") == {"t": TaskState.SKIPPED}
    assert "The run 'wanted' of DAG 'other' exists already." in asking.row("asks", "t").reason
    asking.clock.advance(1)
    asking.trigger("asks", "r2")
    asked = RunRequest(dag_id="other", run_id="wanted").to_json()
    asking.executor.finish("t", run_id="r2", run_requests=[asked])
    asking.pump()
    assert asking.states("asks", "r2") == {"t": TaskState.SUCCESS}
    (line,) = log_of(asking)
    assert "*** skipped, because the run that it asked for was not made: The run 'wanted'" in line


def test_a_run_that_an_earlier_try_of_the_task_made_does_not_skip_it(asking: Mill) -> None:
    ask(asking, "rescheduled", skip_existing=True)
    asking.pass_time(hours=1)
    ask(asking, skip_existing=True)
    assert asking.states("asks") == {"t": TaskState.SUCCESS}


def test_a_finished_run_is_cleared_where_it_shall_run_again(asking: Mill) -> None:
    asking.trigger("other", "wanted")
    asking.executor.finish("t", "failed", run_id="wanted")
    asking.pump()
    assert asking.run_state("other", "wanted") is RunState.FAILED
    ask(asking, reset=True)
    assert asking.run_state("other", "wanted") is RunState.RUNNING
    assert asking.row("other", "t", "wanted").try_number == 2
    assert len(asking.events("tasks_cleared")) == 1


def test_a_run_that_is_not_finished_is_not_cleared(asking: Mill) -> None:
    asking.trigger("other", "wanted")
    ask(asking, reset=True)
    assert asking.row("other", "t", "wanted").try_number == 1
    assert asking.executor.stopped == []


def test_the_run_is_there_when_the_task_begins_to_wait_for_it(asking: Mill) -> None:
    ask(asking, "rescheduled")
    assert asking.states("asks") == {"t": TaskState.UP_FOR_RESCHEDULE}
    assert asking.run_state("other", "wanted") is RunState.RUNNING
    asking.pass_time(hours=1)
    assert asking.executor.workload("t", "r1").context["reschedules"] == 1


def test_a_run_that_may_begin_later_is_queued_until_then(asking: Mill) -> None:
    ask(asking, run_after="2026-01-01T02:00:00+00:00")
    asking.pass_time(hours=1, minutes=59, seconds=59)
    assert asking.run_state("other", "wanted") is RunState.QUEUED
    answer = asking.db.read(lambda connection: explain(connection, "other", "wanted", "t"))
    assert answer.verdict == "The run may begin at 2026-01-01T02:00:00.000000+00:00."
    asking.pass_time(seconds=1)
    assert asking.run_state("other", "wanted") is RunState.RUNNING


def test_the_scheduler_wakes_for_a_run_that_becomes_due_by_itself(asking: Mill) -> None:
    ask(asking, run_after="2026-01-01T02:00:00+00:00")
    asking.clock.advance(7200)
    while asking.service.run_once():
        pass
    assert asking.run_state("other", "wanted") is RunState.RUNNING


def test_the_time_of_a_try_counts_from_its_first_start_over_the_death_of_a_process(asking: Mill) -> None:
    asking.executor.begin("t")
    asking.pump()
    began = asking.clock.now()
    asking.clock.advance(60)
    asking.executor.die()
    asking.pump()
    workload = asking.executor.workload("t")
    assert (workload.try_number, workload.context["first_start"]) == (1, iso(began))
    asking.executor.finish("t", "failed", run_id="r1")
    asking.pump()
    asking.pass_time(minutes=5)
    workload = asking.executor.workload("t")
    assert (workload.try_number, workload.context["first_start"]) == (2, None)
