"""Calls that no task process makes by itself: once for each event, in a slot of their own, and never lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from clockmill import DAG, BaseOperator, DeadlineAlert, DeadlineReference
from clockmill.state import CallbackState, RunState, TaskState
from clockmill.storage import tables
from clockmill.storage.callbacks import CallbackRow, callbacks_of_run
from tests.mill import Mill
from tests.scheduler.test_crash_at_every_commit import Crash, crash_at

START = datetime(2025, 1, 1, tzinfo=UTC)


class Noop(BaseOperator):
    def execute(self, context: Any) -> None:
        return None


def told(context: Any) -> None:
    """What an author writes; the scheduler never calls it."""
    raise AssertionError("called in the scheduler")


def calls(mill: Mill, run_id: str = "r1") -> list[CallbackRow]:
    run = mill.run("d", run_id)
    return mill.db.read(lambda connection: callbacks_of_run(connection, run.id))


def the_call(mill: Mill) -> Any:
    """The workload of the one call that the executor holds."""
    return next(w for w in mill.executor.held.values() if w.callback)


def end_call(mill: Mill, outcome: str = "success", **report: Any) -> None:
    mill.finish(the_call(mill).task_id, outcome, **report)


def dag_with(mill: Mill, dag_arguments: dict[str, Any] | None = None, **task: Any) -> None:
    with DAG("d", **(dag_arguments or {})) as dag:
        Noop(task_id="t", **task)
    mill.add(dag)
    mill.trigger("d")


def test_a_task_whose_process_was_killed_too_often_is_called_about_once(mill: Mill) -> None:
    dag_with(mill, on_failure_callback=told)
    for crash in range(3):
        mill.finish("t", "lost", reason="It was killed by SIGKILL.", signal=9)
        assert calls(mill) == [], f"crash {crash + 1} is within the budget"
    mill.finish("t", "lost", reason="It was killed by SIGKILL.", signal=9)
    (call,) = calls(mill)
    assert (call.kind, call.state) == ("on_failure_callback", CallbackState.PENDING)
    assert call.context["task"]["task_id"] == "t" and call.context["signal"] == 9
    assert "The crash budget of 3 is spent" in call.context["reason"]
    workload = the_call(mill)
    assert workload.callback["kind"] == "on_failure_callback"
    assert workload.log_path.endswith(f"logs/d/r1/callbacks/{call.id}.log")
    assert mill.run_state("d") is RunState.FAILED  # it waits for no call
    end_call(mill)
    (call,) = calls(mill)
    assert call.state is CallbackState.SUCCESS and call.ended_at == mill.clock.now()
    mill.pump()
    assert mill.executor.held == {} and len(calls(mill)) == 1


@pytest.mark.parametrize(("retries", "kind"), [(0, "on_failure_callback"), (1, "on_retry_callback")])
def test_a_task_that_was_timed_out_is_called_about_by_what_follows(mill: Mill, retries: int, kind: str) -> None:
    dag_with(mill, retries=retries, on_failure_callback=told, on_retry_callback=told, on_success_callback=told)
    mill.finish("t", "failed", reason="It ran longer than its execution_timeout of 5 s.", signal=15)
    assert [call.kind for call in calls(mill)] == [kind]


@pytest.mark.parametrize("outcome", ["success", "failed", "skipped"])
def test_what_the_process_of_the_task_called_itself_is_not_called_again(mill: Mill, outcome: str) -> None:
    dag_with(mill, on_failure_callback=told, on_success_callback=told)
    mill.finish("t", outcome, called_back=True)
    assert calls(mill) == []


def test_a_task_without_callbacks_and_one_that_was_stopped_order_no_call(mill: Mill) -> None:
    dag_with(mill)
    mill.finish("t", "failed")
    assert calls(mill) == []


@pytest.mark.parametrize(
    ("outcome", "kind", "failed"), [("success", "on_success_callback", []), ("failed", "on_failure_callback", ["t"])]
)
def test_the_end_of_a_run_is_called_about_once(mill: Mill, outcome: str, kind: str, failed: list[str]) -> None:
    dag_with(mill, {"on_success_callback": told, "on_failure_callback": [told, told]})
    mill.finish("t", outcome, called_back=True)
    (call,) = calls(mill)
    assert (call.kind, call.task_instance_id, call.context["failed_tasks"]) == (kind, None, failed)
    assert call.context["reason"] == ("success" if outcome == "success" else "task_failure: t")
    workload = the_call(mill)
    assert workload.task_id == "" and workload.context["dag_run"]["state"] == outcome
    mill.restart()
    mill.pump()
    assert len(calls(mill)) == 1


def test_a_run_that_took_too_long_is_called_about(mill: Mill) -> None:
    dag_with(mill, {"on_failure_callback": told, "dagrun_timeout": timedelta(seconds=10)})
    mill.pass_time(seconds=10)
    (call,) = calls(mill)
    assert "dagrun_timeout" in call.context["reason"]


def test_a_call_is_tried_again_when_its_process_is_lost_within_the_crash_budget(mill: Mill) -> None:
    dag_with(mill, {"on_failure_callback": told})
    mill.finish("t", "failed")
    for crash in range(4):
        assert calls(mill)[0].state is CallbackState.PENDING, crash
        end_call(mill, "lost", reason="It was killed by SIGKILL.")
    (call,) = calls(mill)
    assert (call.state, call.crashes) == (CallbackState.FAILED, 4)
    (event,) = mill.events("callback_failed")
    assert (event.dag_id, event.run_id, event.detail["callback"]) == ("d", "r1", "on_failure_callback")
    assert mill.executor.held == {}


def test_a_call_that_raised_is_not_repeated_and_is_told_of(mill: Mill) -> None:
    dag_with(mill, {"on_failure_callback": told})
    mill.finish("t", "failed")
    end_call(mill, "failed", reason="KeyError: 'x'")
    (call,) = calls(mill)
    assert (call.state, call.reason, call.crashes) == (CallbackState.FAILED, "KeyError: 'x'", 0)
    assert len(mill.events("callback_failed")) == 1


def test_a_call_that_was_given_back_goes_on_without_counting_as_a_crash(mill: Mill) -> None:
    dag_with(mill, {"on_failure_callback": told})
    mill.finish("t", "failed")
    end_call(mill, "released")
    assert calls(mill)[0].crashes == 0
    end_call(mill)
    assert calls(mill)[0].state is CallbackState.SUCCESS


def test_a_call_goes_before_waiting_tasks_and_takes_no_slot_of_a_pool_or_run(mill: Mill) -> None:
    mill.executor.info = type(mill.executor.info)(id="supervisor-1", host="h", boot_id="b", pid=1, slots=1)
    mill.restart()
    with DAG("d", max_active_tasks=1) as dag:
        Noop(task_id="t", on_failure_callback=told)
        for number in range(3):
            Noop(task_id=f"other_{number}", priority_weight=1)
        dag.get_task("t").priority_weight = 100
    mill.add(dag)
    mill.trigger("d")
    assert mill.executor.running() == ["t"]
    mill.finish("t", "failed")
    assert [bool(w.callback) for w in mill.executor.held.values()] == [True]
    mill.executor.info = type(mill.executor.info)(id="supervisor-1", host="h", boot_id="b", pid=1, slots=2)
    mill.pump()
    assert mill.executor.running() == ["t", "other_0"]  # max_active_tasks=1 leaves room beside the call
    attempts = mill.db.read(lambda c: list(c.execute(select(tables.attempt).where(tables.attempt.c.callback_id > 0))))
    assert [(row.pool, row.pool_slots, row.task_instance_id) for row in attempts] == [("", 0, None)]


def test_calls_outlive_the_scheduler_and_the_supervisor(mill: Mill) -> None:
    dag_with(mill, {"on_failure_callback": told})
    mill.executor.takes_work = False
    mill.finish("t", "failed")
    mill.executor.takes_work = True
    assert mill.executor.held == {}
    mill.restart()
    mill.pump()
    first = the_call(mill)
    mill.executor.held.clear()  # its message never arrived
    mill.restart()
    mill.pump()
    assert the_call(mill).attempt_id == first.attempt_id
    mill.executor.die()
    mill.pump()
    assert the_call(mill).attempt_id != first.attempt_id and calls(mill)[0].crashes == 1
    end_call(mill)
    assert [call.state for call in calls(mill)] == [CallbackState.SUCCESS]


def test_two_schedulers_make_a_call_once(mill: Mill, clock: Any) -> None:
    from clockmill.testing.executor import ScriptedExecutor

    dag_with(mill, {"on_failure_callback": told})
    mill.executor.takes_work = False
    mill.finish("t", "failed")
    mill.executor.takes_work = True
    other = ScriptedExecutor(clock, supervisor_id="supervisor-9")
    another = mill.another(other)
    mill.pump()
    for _ in range(5):
        another.run_once()
        mill.services[0].run_once()
    held = [w for executor in (mill.executor, other) for w in executor.held.values()]
    assert len(held) == 1 and mill.states("d") == {"t": TaskState.FAILED}


def test_a_task_that_fails_without_a_process_is_called_about(mill: Mill) -> None:
    class Each(Noop):
        def __init__(self, item: Any = None, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.item = item

    with DAG("d") as dag:
        above = Noop(task_id="above")
        Each.partial(task_id="each", on_failure_callback=told).expand(item=above.output)
    mill.add(dag)
    mill.trigger("d")
    too_many = str([0] * (mill.settings.core.max_map_length + 1))
    mill.finish("above", xcoms=[("return_value", too_many)], called_back=True)
    (call,) = calls(mill)
    assert call.context["task"]["task_id"] == "each" and "max_map_length" in call.context["reason"]


def test_a_call_whose_version_cannot_be_read_is_given_up_and_holds_up_nobody(mill: Mill) -> None:
    dag_with(mill, {"on_failure_callback": told})
    mill.executor.takes_work = False
    mill.finish("t", "failed")
    mill.executor.takes_work = True
    with mill.db.engine.begin() as connection:
        connection.execute(update(tables.dag_version).values(document="{}"))
    mill.restart()
    with DAG("other") as other:
        Noop(task_id="u")
    mill.add(other)
    mill.trigger("other")
    assert mill.executor.running() == ["u"]
    (call,) = calls(mill)
    assert call.state is CallbackState.FAILED
    assert "not a DAG document" in call.reason


@pytest.mark.fault
@pytest.mark.parametrize("point", ["store.commit.before", "store.commit.after"])
def test_a_scheduler_that_dies_at_any_commit_neither_forgets_nor_doubles_a_call(mill: Mill, point: str) -> None:
    alert = DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=60, callback=told)
    ran: list[tuple[str, str]] = []
    crashes = 0

    def finish(run_id: str) -> None:
        for workload in list(mill.executor.held.values()):
            if workload.callback:
                ran.append((run_id, f"{workload.callback['kind']} {workload.task_id}".strip()))
            mill.executor.finish(workload.task_id, "success" if workload.callback else "failed", run_id=run_id)

    with DAG("d", deadline=alert, on_failure_callback=told) as dag:
        Noop(task_id="t", on_failure_callback=told)
    mill.add(dag)
    for number in range(1, 9):
        run_id = f"r{number}"
        mill.trigger("d", run_id, logical_date=START + timedelta(hours=number))
        disarm = crash_at(point, number)
        for _ in range(8):
            try:
                mill.pass_time(minutes=1)
                finish(run_id)
                mill.pump()
            except Crash:
                crashes += 1
                mill.restart()
        disarm()
        mill.pump()
        assert {call.state for call in calls(mill, run_id)} == {CallbackState.SUCCESS}
        kinds = sorted(kind for run, kind in ran if run == run_id)
        assert kinds == ["deadline:0", "on_failure_callback", "on_failure_callback t"], number
    assert crashes == 8
