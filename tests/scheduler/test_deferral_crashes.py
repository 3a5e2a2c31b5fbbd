"""A scheduler or a triggerer dies right before or after any commit of a task that defers, looks again, and ends."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from clockmill import DAG
from clockmill.clock import iso
from clockmill.operators.bash import BashOperator
from clockmill.state import RunState
from clockmill.storage import tables, triggers
from clockmill.storage.triggers import Fired
from clockmill.storage.xcoms import list_xcoms
from tests.crashes import Crash, crash_at

DEFER = {"class_path": "my.Trigger", "kwargs": "{}", "method": "go_on", "method_kwargs": "{}", "timeout": 3600.0}
PUSHED = ("pushed", "1")
SEVERAL = 40


def execute(mill: Any, ledger: Counter[str]) -> None:
    """What the task processes do: defer, look in vain, succeed; the task below succeeds."""
    for workload in list(mill.executor.held.values()):
        xcoms = [tuple(pair) for pair in (workload.resume or {}).get("xcoms", ())]
        if workload.task_id == "b":
            ledger["b"] += 1
            mill.executor.finish("b")
        elif workload.context["first_start"] is None:
            ledger["begin"] += 1
            mill.executor.finish("a", "deferred", defer=DEFER, xcoms=[PUSHED])
        elif workload.resume.get("event"):
            ledger[f"event {workload.resume['event']}"] += 1
            again = iso(mill.clock.now() + timedelta(seconds=30))
            mill.executor.finish("a", "rescheduled", look_again_at=again, xcoms=xcoms)
        else:
            ledger[f"look {workload.context['reschedules']}"] += 1
            mill.executor.finish("a", xcoms=[*xcoms, ("return_value", "2")])


def trigger(mill: Any) -> None:
    """What a triggerer does that finds every trigger ready at once."""
    mill.db.write(lambda c: triggers.claim_triggers(c, "t1", 10))
    held = mill.db.read(lambda c: triggers.held_by(c, "t1"))
    if held:
        fired = [Fired(id=ident, event="7") for ident in held]
        mill.db.write(lambda c: triggers.fire(c, "t1", fired, mill.clock.now()))


def work_through(mill: Any, run_id: str, ledger: Counter[str]) -> int:
    """Let the run end; returns how often somebody crashed."""
    crashes = 0
    for _ in range(SEVERAL):
        try:
            trigger(mill)
            mill.pass_time(seconds=20)
            execute(mill, ledger)
            mill.pump()
        except Crash:
            crashes += 1
            mill.restart()
        if mill.run_state("d", run_id) is RunState.SUCCESS:
            return crashes
    raise AssertionError(f"the run did not end: {mill.states('d', run_id)}")


@pytest.mark.fault
@pytest.mark.parametrize("point", ["store.commit.before", "store.commit.after"])
def test_a_crash_at_any_commit_loses_no_event_and_repeats_no_execution(mill: Any, point: str) -> None:
    with DAG("d", schedule=None) as dag:
        BashOperator(task_id="a", bash_command="true") >> BashOperator(task_id="b", bash_command="true")
    mill.add(dag)
    number, crashes = 1, 1
    while crashes and number < SEVERAL:
        run_id = f"r{number}"
        mill.trigger("d", run_id)
        ledger: Counter[str] = Counter()
        disarm = crash_at(point, number)
        try:
            crashes = work_through(mill, run_id, ledger)
        finally:
            disarm()
        check(mill, run_id, ledger)
        number += 1
    assert number > 10, "there are more commits than this test crashed at"


def check(mill: Any, run_id: str, ledger: Counter[str]) -> None:
    assert ledger == {"begin": 1, "event 7": 1, "look 1": 1, "b": 1}
    row = mill.row("d", "a", run_id)
    assert (row.try_number, row.crashes, row.reschedules, row.resume) == (1, 0, 1, None)
    assert mill.db.read(lambda c: list(c.execute(select(tables.task_trigger)))) == []
    xcoms = mill.db.read(lambda c: list_xcoms(c, "d", run_id))
    assert [(each["key"], each["value"]) for each in xcoms] == [PUSHED, ("return_value", "2")]
    mine = select(tables.attempt.c.state).where(tables.attempt.c.task_instance_id == row.id)
    assert sorted(mill.db.read(lambda c: list(c.execute(mine).scalars()))) == ["deferred", "success"]
