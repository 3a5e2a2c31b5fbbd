"""Tasks that give their slot back: deferred to a trigger, or rescheduled; seen from outside the scheduler."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from clockmill import DAG
from clockmill.actions.explain import explain
from clockmill.clock import iso
from clockmill.operators.bash import BashOperator
from clockmill.protocols import TRIGGER_TIMEOUT
from clockmill.state import RunState, TaskState
from clockmill.storage import components, tables, triggers
from clockmill.storage.triggers import Fired
from clockmill.storage.xcoms import list_xcoms

DEFER = {
    "class_path": "my.Trigger",
    "kwargs": '{"n":1}',
    "method": "go_on",
    "method_kwargs": '{"m":2}',
    "timeout": 60.0,
}


def pair(**arguments: Any) -> DAG:
    with DAG("d", schedule=None) as dag:
        first = BashOperator(task_id="a", bash_command="true", **arguments)
        first >> BashOperator(task_id="b", bash_command="true")
    return dag


@pytest.fixture
def waiting(mill: Any) -> Any:
    """A run whose first task waits for a trigger, claimed by a triggerer."""
    mill.add(pair(retries=1, retry_delay=timedelta(0)))
    mill.trigger("d")
    mill.finish("a", "deferred", reason="waits", defer=DEFER, xcoms=[("before", "1")])
    return mill


def rows(mill: Any) -> list[Any]:
    return mill.db.read(lambda c: list(c.execute(select(tables.task_trigger).order_by(tables.task_trigger.c.id))))


def claim(mill: Any, name: str = "t1") -> list[int]:
    return [one.id for one in mill.db.write(lambda c: triggers.claim_triggers(c, name, 100))]


def fire(mill: Any, *fired: Fired, name: str = "t1") -> set[int]:
    won = mill.db.write(lambda c: triggers.fire(c, name, list(fired), mill.clock.now()))
    mill.pump()
    return won


def attempt_states(mill: Any) -> list[str]:
    statement = select(tables.attempt.c.state).order_by(tables.attempt.c.queued_at, tables.attempt.c.id)
    return mill.db.read(lambda c: list(c.execute(statement).scalars()))


def test_a_deferred_task_holds_no_slot_and_its_trigger_waits_in_a_row(waiting: Any) -> None:
    row = waiting.row("d", "a")
    assert (row.state, row.reason, row.end_date) == (TaskState.DEFERRED, "waits", None)
    assert waiting.executor.running() == []
    (trigger,) = rows(waiting)
    assert (trigger.class_path, trigger.kwargs, trigger.file) == ("my.Trigger", '{"n":1}', "f.py")
    assert trigger.timeout_at == waiting.clock.now() + timedelta(seconds=60)
    assert attempt_states(waiting) == ["deferred"]
    assert waiting.run_state("d") is RunState.RUNNING


def test_a_fired_trigger_lets_the_same_try_go_on_and_its_row_is_gone(waiting: Any) -> None:
    began = waiting.clock.now()
    waiting.pass_time(seconds=30)
    (ident,) = claim(waiting)
    assert fire(waiting, Fired(id=ident, event='"now"')) == {ident}

    workload = waiting.executor.workload("a")
    assert workload.try_number == 1
    assert workload.resume == {"method": "go_on", "kwargs": '{"m":2}', "event": '"now"', "xcoms": [["before", "1"]]}
    assert workload.context["first_start"] == iso(began)
    assert rows(waiting) == []

    waiting.finish("a", xcoms=[("before", "1"), ("return_value", "2")])
    row = waiting.row("d", "a")
    assert (row.state, row.start_date, row.resume) == (TaskState.SUCCESS, began, None)
    assert waiting.executor.running() == ["b"]
    xcoms = waiting.db.read(lambda c: list_xcoms(c, "d", "r1"))
    assert [(row["key"], row["value"]) for row in xcoms] == [("before", "1"), ("return_value", "2")]


def test_nobody_sees_what_a_task_pushed_while_it_is_deferred(waiting: Any) -> None:
    assert waiting.db.read(lambda c: list_xcoms(c, "d", "r1")) == []


def test_a_trigger_fires_once_and_only_for_the_triggerer_that_has_it(waiting: Any) -> None:
    (ident,) = claim(waiting)
    assert claim(waiting, "t2") == []
    assert fire(waiting, Fired(id=ident, event="1"), name="t2") == set()
    assert fire(waiting, Fired(id=ident, event="2")) == {ident}
    assert fire(waiting, Fired(id=ident, event="3")) == set()
    assert waiting.executor.workload("a").resume["event"] == "2"


def test_a_trigger_that_failed_hands_its_error_to_the_task_whose_failure_uses_a_try(waiting: Any) -> None:
    (ident,) = claim(waiting)
    fire(waiting, Fired(id=ident, error="ValueError: no\ntrace"))
    assert waiting.executor.workload("a").resume["error"] == "ValueError: no\ntrace"
    waiting.finish("a", "failed", reason="TaskDeferralError: ValueError: no")

    again = waiting.executor.workload("a")
    assert (again.try_number, again.resume, again.context["first_start"]) == (2, None, None)


def test_a_timeout_is_due_to_the_millisecond_and_no_event_counts_after_it(waiting: Any) -> None:
    (ident,) = claim(waiting)
    waiting.pass_time(seconds=59.999)
    assert waiting.executor.running() == []
    waiting.pass_time(seconds=0.001)
    assert waiting.executor.workload("a").resume["error"] == TRIGGER_TIMEOUT
    assert fire(waiting, Fired(id=ident, event="1")) == set()


def test_the_scheduler_knows_when_the_next_timeout_is_without_looking_at_everything(waiting: Any) -> None:
    assert waiting.service._deadline == waiting.clock.now() + timedelta(seconds=60)


def test_an_event_that_came_before_the_timeout_counts_although_nobody_looked_in_time(waiting: Any) -> None:
    (ident,) = claim(waiting)
    waiting.db.write(lambda c: triggers.fire(c, "t1", [Fired(id=ident, event="1")], waiting.clock.now()))
    waiting.pass_time(seconds=60)
    assert waiting.executor.workload("a").resume["event"] == "1"


def test_a_resumed_attempt_that_is_lost_goes_on_with_the_same_event(waiting: Any) -> None:
    (ident,) = claim(waiting)
    fire(waiting, Fired(id=ident, event="1"))
    before = waiting.executor.workload("a").resume
    waiting.executor.die()
    waiting.pump()
    again = waiting.executor.workload("a")
    assert (again.try_number, again.resume) == (1, before)
    assert waiting.row("d", "a").crashes == 1


def test_a_task_may_defer_again_and_again_in_one_try(waiting: Any) -> None:
    for number in range(3):
        (ident,) = claim(waiting)
        fire(waiting, Fired(id=ident, event=str(number)))
        waiting.finish("a", "deferred", defer={**DEFER, "timeout": None})
    assert len(rows(waiting)) == 1
    assert attempt_states(waiting) == ["deferred"] * 4
    assert waiting.row("d", "a").try_number == 1


def test_clearing_a_deferred_task_removes_its_trigger_and_what_it_had_pushed(waiting: Any) -> None:
    waiting.clear("d", "a")
    assert rows(waiting) == []
    fresh = waiting.executor.workload("a")
    assert (fresh.try_number, fresh.resume, fresh.context["first_start"]) == (2, None, None)


def test_a_run_that_takes_too_long_ends_what_waits(mill: Any) -> None:
    dag = pair()
    dag.dagrun_timeout = timedelta(seconds=10)
    mill.add(dag)
    mill.trigger("d")
    mill.finish("a", "deferred", defer=DEFER)
    mill.pass_time(seconds=10)
    assert mill.run_state("d") is RunState.FAILED
    assert rows(mill) == []


def test_a_trigger_row_of_a_task_that_waits_no_more_is_swept_away(waiting: Any) -> None:
    (ident,) = claim(waiting)
    fire(waiting, Fired(id=ident, event="1"))
    row = waiting.row("d", "a")
    stray = triggers.NewTrigger(
        task_instance_id=row.id,
        dag_run_id=row.dag_run_id,
        class_path="x.Y",
        kwargs="{}",
        bundle="",
        file="",
        pool="p",
        pool_slots=1,
        created_at=waiting.clock.now(),
        timeout_at=None,
    )
    waiting.db.write(lambda c: triggers.insert_triggers(c, [stray]))
    (ident,) = claim(waiting)
    fire(waiting, Fired(id=ident, event="2"))
    assert rows(waiting) == []
    assert waiting.executor.workload("a").resume["event"] == "1"


def test_many_that_fire_together_go_on_in_one_transaction_per_run(mill: Any) -> None:
    with DAG("d", schedule=None, max_active_tasks=100) as dag:
        for number in range(40):
            BashOperator(task_id=f"t{number}", bash_command="true")
    mill.executor.info = type(mill.executor.info)(id=mill.executor.info.id, host="h", boot_id="b", pid=1, slots=100)
    mill.add(dag)
    mill.trigger("d")
    for task_id in mill.executor.running():
        mill.executor.finish(task_id, "deferred", defer=DEFER)
    mill.pump()
    idents = claim(mill)
    assert len(idents) == 40
    fire(mill, *(Fired(id=ident, event="1") for ident in idents))
    assert len(mill.executor.running()) == 40
    assert rows(mill) == []


def test_pools_that_count_deferred_tasks_see_their_slots_and_others_none(mill: Any) -> None:
    mill.add(pair(pool="p", pool_slots=2))
    for include in (True, False):
        mill.db.write(
            lambda c, include=include: (
                c.execute(tables.pool.delete().where(tables.pool.c.name == "p")),
                c.execute(tables.pool.insert().values(name="p", slots=9, include_deferred=include)),
            )
        )
        if include:
            mill.trigger("d")
            mill.finish("a", "deferred", defer=DEFER)
        assert mill.db.read(triggers.deferred_usage) == ({"p": 2} if include else {})


def test_why_says_what_a_deferred_task_waits_for_and_who_runs_it(waiting: Any) -> None:
    def why() -> Any:
        return waiting.db.read(lambda c: explain(c, "d", "r1", "a", now=waiting.clock.now()))

    answer = why()
    assert answer.verdict == "It waits for the trigger Trigger since 2026-01-01T00:00:00.000000+00:00, without a slot."
    assert answer.details[0] == "No triggerer is running. Start clockmill triggerer."
    assert answer.changes_at == waiting.clock.now() + timedelta(seconds=60)


def test_why_says_that_the_services_are_dead_which_a_deferred_task_needs(waiting: Any) -> None:
    began = waiting.clock.now()

    def beats(name: str, instance: str) -> None:
        waiting.db.write(lambda c: components.beat(c, name, instance, waiting.clock.now(), period_seconds=5.0))

    def why() -> Any:
        return waiting.db.read(lambda c: explain(c, "d", "r1", "a", now=waiting.clock.now()))

    beats("triggerer", "t1")
    assert why().details[0] == "No triggerer has room for it yet: see [triggerer] capacity, or start another one."
    claim(waiting)
    waiting.clock.advance(25)
    beats("scheduler", "s2")
    assert why().details[0] == "triggerer t1 runs my.Trigger"
    waiting.clock.advance(0.001)
    gone = f"No triggerer is running: the last one was seen at {iso(began)}. Start clockmill triggerer."
    silent = "triggerer t1 ran my.Trigger, and is not heard of any more"
    assert why().details[:2] == [gone, silent]
    beats("triggerer", "t2")
    assert why().details[0] == f"{silent}; another one takes it over"
    waiting.clock.advance(25)
    assert why().details[0].startswith("No scheduler is running: the last one was seen at ")


# --- reschedules -----------------------------------------------------------------------------------------------------


def look_again(mill: Any, seconds: float) -> datetime:
    when = mill.clock.now() + timedelta(seconds=seconds)
    mill.finish("a", "rescheduled", look_again_at=iso(when))
    return when


def test_a_reschedule_looks_again_exactly_then_in_the_same_try(mill: Any) -> None:
    mill.add(pair())
    mill.trigger("d")
    began = mill.clock.now()
    assert look_again(mill, 60) == mill.row("d", "a").due_at
    assert mill.row("d", "a").state is TaskState.UP_FOR_RESCHEDULE
    answer = mill.db.read(lambda c: explain(c, "d", "r1", "a"))
    assert answer.verdict == "It looks again at 2026-01-01T00:01:00.000000+00:00, without a slot until then."
    mill.pass_time(seconds=59.999)
    assert mill.executor.running() == []
    mill.pass_time(seconds=0.001)

    workload = mill.executor.workload("a")
    assert (workload.try_number, workload.resume) == (1, None)
    assert (workload.context["first_start"], workload.context["reschedules"]) == (iso(began), 1)


def test_many_looks_leave_one_attempt_and_a_number(mill: Any) -> None:
    mill.add(pair(retries=1, retry_delay=timedelta(0)))
    mill.trigger("d")
    for _ in range(30):
        look_again(mill, 1)
        mill.pass_time(seconds=1)
    assert attempt_states(mill) == ["rescheduled", "running"]
    mill.finish("a", "failed")
    assert mill.row("d", "a").reschedules == 0, "a new try counts its own looks"
    assert attempt_states(mill) == ["failed", "running"]
    look_again(mill, 1)
    mill.pass_time(seconds=1)
    mill.finish("a")
    assert attempt_states(mill) == ["failed", "success", "running"], "the last one is of the task below"
    assert mill.row("d", "a").reschedules == 1


def test_a_time_that_has_passed_is_now(mill: Any) -> None:
    mill.add(pair())
    mill.trigger("d")
    look_again(mill, -5)
    assert mill.executor.running() == ["a"]


def test_what_was_pushed_is_kept_over_reschedules(mill: Any) -> None:
    mill.add(pair())
    mill.trigger("d")
    mill.finish("a", "rescheduled", look_again_at=iso(mill.clock.now()), xcoms=[("seen", "1")])
    assert mill.executor.workload("a").resume == {"xcoms": [["seen", "1"]]}
    assert mill.db.read(lambda c: c.execute(select(func.count()).select_from(tables.xcom)).scalar()) == 0
