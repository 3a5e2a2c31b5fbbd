"""Deadlines of runs and tasks: met or missed exactly once, to the microsecond, and warned of in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clockmill import DAG, BaseOperator, DeadlineAlert, DeadlineReference
from clockmill.actions.explain import explain
from clockmill.clock import iso
from clockmill.state import CallbackState, RunState
from clockmill.storage.callbacks import CallbackRow, callbacks_of_run
from clockmill.storage.deadlines import DeadlineRow, deadlines_of_run
from tests.mill import Mill

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Noop(BaseOperator):
    def execute(self, context: Any) -> None:
        return None


def told(context: Any) -> None:
    raise AssertionError("called in the scheduler")


def alert(interval: timedelta = HOUR, reference: Any = DeadlineReference.DAGRUN_QUEUED_AT, **more: Any) -> Any:
    return DeadlineAlert(reference=reference, interval=interval, callback=told, **more)


def add(mill: Mill, alerts: Any = None, dag: dict[str, Any] | None = None, **task: Any) -> None:
    with DAG("d", deadline=alerts, **(dag or {})) as made:
        Noop(task_id="t", **task)
    mill.add(made)


def deadlines(mill: Mill, run_id: str = "r1") -> list[DeadlineRow]:
    ident = mill.run("d", run_id).id
    return mill.db.read(lambda connection: deadlines_of_run(connection, ident))


def calls(mill: Mill, run_id: str = "r1") -> list[CallbackRow]:
    ident = mill.run("d", run_id).id
    return mill.db.read(lambda connection: callbacks_of_run(connection, ident))


def succeed(mill: Mill, minutes: list[int]) -> None:
    """Let runs succeed that take so long."""
    for number, length in enumerate(minutes):
        mill.trigger("d", f"past{number}")
        mill.pass_time(minutes=length)
        mill.finish("t")


def test_a_run_that_ends_at_its_deadline_meets_it(mill: Mill) -> None:
    add(mill, alert())
    mill.trigger("d")
    mill.clock.advance(3600)
    mill.executor.finish("t")
    mill.pump()
    (row,) = deadlines(mill)
    assert (row.due_at, row.met_at, row.missed_at) == (START + HOUR, START + HOUR, None)
    mill.pass_time(hours=2)
    assert calls(mill) == [] and mill.events("deadline_missed") == []


def test_a_run_that_is_not_over_at_its_deadline_has_missed_it_once(mill: Mill) -> None:
    add(mill, alert(name="morning"))
    mill.trigger("d")
    mill.clock.advance(3599.999999)
    mill.pump()
    assert deadlines(mill)[0].missed_at is None
    mill.pass_time(microseconds=1)
    (row,) = deadlines(mill)
    assert (row.missed_at, row.met_at) == (START + HOUR, None)
    (event,) = mill.events("deadline_missed")
    assert (event.dag_id, event.run_id, event.detail["name"]) == ("d", "r1", "morning")
    (call,) = calls(mill)
    assert (call.kind, call.state, call.context["deadline"]["name"]) == ("deadline:0", CallbackState.PENDING, "morning")
    mill.finish("t")
    mill.restart()
    mill.pass_time(hours=1)
    assert len(calls(mill)) == len(mill.events("deadline_missed")) == 1 and deadlines(mill)[0].met_at is None


def test_the_scheduler_wakes_for_a_deadline_by_itself(mill: Mill) -> None:
    add(mill, alert(timedelta(seconds=2)))
    mill.trigger("d")
    mill.clock.advance(2)
    mill.service.run_once()  # nobody called: the timer alone
    assert deadlines(mill)[0].missed_at == START + timedelta(seconds=2)


def test_a_run_that_waits_for_its_turn_misses_its_deadline_too(mill: Mill) -> None:
    add(mill, alert(), {"max_active_runs": 1})
    mill.trigger("d", "first", logical_date=START - HOUR)
    mill.trigger("d", "second")
    mill.pass_time(hours=1)
    assert mill.run_state("d", "second") is RunState.QUEUED
    assert [deadlines(mill, run)[0].missed_at for run in ("first", "second")] == [START + HOUR] * 2


def test_a_failed_run_can_still_meet_its_deadline_when_it_is_run_again(mill: Mill) -> None:
    add(mill, alert(), deadline=HOUR)
    mill.trigger("d")
    mill.finish("t", "failed")
    mill.pass_time(minutes=59)
    assert [row.met_at for row in deadlines(mill)] == [None, None]
    mill.clear("d", "t")
    mill.finish("t")
    assert [row.met_at for row in deadlines(mill)] == [START + timedelta(minutes=59)] * 2
    mill.pass_time(minutes=1)
    assert mill.events("deadline_missed") == []


@pytest.mark.parametrize(
    ("reference", "due"),
    [
        (DeadlineReference.DAGRUN_LOGICAL_DATE, START - timedelta(hours=5) + HOUR),
        (DeadlineReference.DAGRUN_QUEUED_AT, START + HOUR),
        (DeadlineReference.FIXED_DATETIME(START + timedelta(days=1)), START + timedelta(days=1) + HOUR),
        (DeadlineReference.AVERAGE_RUNTIME(max_runs=2), None),
    ],
)
def test_each_reference_counts_from_its_own_instant(mill: Mill, reference: Any, due: datetime | None) -> None:
    add(mill, alert(HOUR, reference))
    mill.trigger("d", logical_date=START - timedelta(hours=5))
    assert [row.due_at for row in deadlines(mill)] == ([] if due is None else [due])


def test_the_average_runtime_is_that_of_the_last_runs(mill: Mill) -> None:
    reference = DeadlineReference.AVERAGE_RUNTIME(max_runs=2, min_runs=2)
    add(mill, [alert(HOUR, reference)])
    succeed(mill, [100, 10, 30])
    now = mill.clock.now()
    mill.trigger("d")
    assert [row.due_at for row in deadlines(mill)] == [now + timedelta(minutes=20) + HOUR]


def test_a_backfill_and_a_run_without_a_logical_date_have_no_such_deadline(mill: Mill) -> None:
    add(mill, alert(HOUR, DeadlineReference.DAGRUN_LOGICAL_DATE))
    mill.trigger("d", logical_date=None)
    run = mill.run("d")
    assert (run.logical_date is None) == (deadlines(mill) == [])


def test_a_warning_comes_when_the_usual_time_no_longer_suffices(mill: Mill) -> None:
    add(mill, alert(), {"max_active_runs": 1})
    succeed(mill, [20, 30, 40])
    start = mill.clock.now()
    mill.trigger("d", "first", logical_date=START - HOUR)
    mill.trigger("d", "second")
    mill.clock.advance(30 * 60 - 1e-6)
    mill.pump()
    assert mill.events("deadline_warning") == []
    mill.pass_time(microseconds=1)
    assert mill.run_state("d", "second") is RunState.QUEUED
    (event,) = mill.events("deadline_warning")
    assert (event.run_id, event.detail["usual_seconds"]) == ("second", 1800.0)
    (row,) = deadlines(mill, "second")
    assert (row.warned_at, row.missed_at) == (start + timedelta(minutes=30), None)
    mill.finish("t")
    mill.finish("t")
    assert deadlines(mill, "second")[0].met_at is not None  # a warning is no verdict
    mill.pass_time(hours=2)
    assert len(mill.events("deadline_warning")) == 1 and calls(mill, "second") == []


def test_two_runs_are_too_few_to_know_what_is_usual(mill: Mill) -> None:
    add(mill, alert())
    succeed(mill, [50, 50])
    mill.trigger("d")
    assert [row.warn_at for row in deadlines(mill)] == [None]


def test_a_task_has_a_deadline_within_the_start_of_its_run(mill: Mill) -> None:
    add(mill, None, {"max_active_runs": 1}, deadline=timedelta(minutes=10), on_deadline_missed_callback=told)
    mill.trigger("d")
    mill.trigger("d", "r2", logical_date=START - HOUR)
    assert deadlines(mill, "r2") == []
    mill.pass_time(minutes=10)
    (row,) = deadlines(mill)
    assert (row.name, row.due_at, row.missed_at) == ("t", row.due_at, START + timedelta(minutes=10))
    (call,) = calls(mill)
    assert (call.kind, call.context["task"]["task_id"]) == ("on_deadline_missed_callback", "t")
    (event,) = mill.events("deadline_missed")
    assert event.task_id == "t"
    mill.finish("t")
    assert [row.due_at for row in deadlines(mill, "r2")] == [START + timedelta(minutes=20)]
    mill.pass_time(minutes=10)
    assert deadlines(mill, "r2")[0].missed_at == START + timedelta(minutes=20)


def test_a_task_that_is_done_in_time_meets_its_deadline_while_its_run_goes_on(mill: Mill) -> None:
    with DAG("d") as dag:
        Noop(task_id="t", deadline=600, on_deadline_missed_callback=told) >> Noop(task_id="u")
    mill.add(dag)
    mill.trigger("d")
    mill.clock.advance(600)
    mill.executor.finish("t")
    mill.pump()
    assert deadlines(mill)[0].met_at == START + timedelta(seconds=600)
    mill.pass_time(hours=1)
    assert calls(mill) == []


def test_a_task_that_cannot_be_done_in_its_usual_time_is_warned_of(mill: Mill) -> None:
    with DAG("d") as dag:
        Noop(task_id="u") >> Noop(task_id="t", deadline=HOUR)
    mill.add(dag)
    for number in range(3):
        mill.trigger("d", f"past{number}")
        mill.finish("u")
        began = iso(mill.clock.now())
        mill.pass_time(minutes=20)
        mill.finish("t", started_at=began)
    mill.trigger("d")
    mill.pass_time(minutes=39)
    assert mill.events("deadline_warning") == []
    mill.pass_time(minutes=1)
    (event,) = mill.events("deadline_warning")
    assert (event.task_id, event.detail["usual_seconds"]) == ("t", 1200.0)


def test_why_tells_of_deadlines_that_are_open_at_risk_or_missed(mill: Mill) -> None:
    add(mill, [alert(name="run"), alert(2 * HOUR, name="later")], deadline=HOUR / 2)
    mill.trigger("d")

    def said() -> list[str]:
        details = mill.db.read(lambda connection: explain(connection, "d", "r1", "t")).details
        return [line for line in details if "deadline" in line]

    due = [f"2026-01-01T0{number}.000000+00:00" for number in ("0:30:00", "1:00:00", "2:00:00")]
    assert said() == [
        f"Its own deadline is due at {due[0]}.",
        f"The deadline 'run' of its run is due at {due[1]}.",
        f"The deadline 'later' of its run is due at {due[2]}.",
    ]
    mill.pass_time(hours=1)
    assert said()[:2] == [
        f"Its own deadline was missed: it was due at {due[0]}.",
        f"The deadline 'run' of its run was missed: it was due at {due[1]}.",
    ]
    mill.finish("t")
    assert len(said()) == 2  # the one that was met is nobody's worry


def test_why_tells_that_a_deadline_is_at_risk(mill: Mill) -> None:
    add(mill, alert(), {"max_active_runs": 1})
    succeed(mill, [30, 30, 30])
    mill.trigger("d", "first", logical_date=START - HOUR)
    mill.trigger("d")
    mill.pass_time(minutes=30)
    answer = mill.db.read(lambda connection: explain(connection, "d", "r1", "t"))
    assert any("is at risk" in line and "the usual time no longer suffices" in line for line in answer.details)
