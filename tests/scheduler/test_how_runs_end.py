"""The end of a run is told once: by its event, by its call, and to the DAG that counts its failures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from clockmill import DAG
from clockmill.actions.mark_runs import MarkRuns, StopRuns
from clockmill.actions.selection import RunSelection
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.state import RunState, TaskState
from clockmill.storage import tables
from clockmill.storage.callbacks import callbacks_of_run
from tests.mill import Mill

THE_RUN = RunSelection(dag_id="d", run_ids=("r1",))


def told(context: Any) -> None:
    """What an author writes; the scheduler never calls it."""


def begin(mill: Mill, *tasks: str, **arguments: Any) -> None:
    with DAG("d", schedule=None, on_success_callback=told, on_failure_callback=told, **arguments) as dag:
        for name in tasks:
            BashOperator(task_id=name, bash_command="true")
    mill.add(dag)
    mill.trigger("d")


def ends(mill: Mill, run_id: str = "r1") -> list[str]:
    """Every end of a run as the events tell it; the calls have to say the same."""
    mill.pump()
    calls = mill.db.read(lambda connection: callbacks_of_run(connection, mill.run("d", run_id).id))
    states = [row.detail["state"] for row in mill.events("run_state") if row.run_id == run_id]
    kinds = {"success": "on_success_callback", "failed": "on_failure_callback"}
    assert sorted(call.kind for call in calls) == sorted(kinds[state] for state in states)
    return states


def test_a_run_that_is_cleared_and_ends_again_has_ended_twice(mill: Mill) -> None:
    begin(mill, "t")
    mill.finish("t", "failed")
    assert ends(mill) == ["failed"]
    mill.clear("d", "t")
    assert ends(mill) == ["failed"]
    mill.finish("t")
    assert ends(mill) == ["failed", "success"]


def test_a_run_that_begins_and_ends_in_the_same_pass_has_ended_once_each_time(mill: Mill) -> None:
    with DAG("d", schedule=None, on_success_callback=told) as dag:
        EmptyOperator(task_id="t")
    mill.add(dag)
    mill.trigger("d")
    assert ends(mill) == ["success"]
    mill.clear("d", "t")
    assert ends(mill) == ["success", "success"]


@pytest.mark.parametrize("request_", [MarkRuns(runs=THE_RUN, state=TaskState.SUCCESS), StopRuns(runs=THE_RUN)])
def test_a_run_that_a_person_ends_is_not_ended_again_by_what_is_stopped_for_it(mill: Mill, request_: Any) -> None:
    begin(mill, "a", "b")
    mill.change(request_)
    assert ends(mill) == []  # the event of the person tells of it
    assert mill.executor.stopped and mill.executor.unacknowledged == {}
    mill.clear("d", "a", "b")
    mill.finish("a")
    mill.finish("b")
    assert ends(mill) == ["success"]


def test_all_that_ends_a_run_in_one_pass_ends_it_once(mill: Mill) -> None:
    begin(mill, "a", "b", dagrun_timeout=timedelta(minutes=5))
    mill.clock.advance(300)
    mill.executor.finish("a", "failed")
    mill.finish("b", "failed")
    assert ends(mill) == ["failed"]
    assert "dagrun_timeout" in mill.run("d").reason


def test_a_run_that_is_over_does_not_end_again_by_what_still_changes_in_it(mill: Mill) -> None:
    begin(mill, "a", "b", max_consecutive_failed_dag_runs=2)
    mill.executor.finish("a", "failed")
    run = tables.dag_run.c
    over = {"state": RunState.FAILED, "end_date": mill.clock.now()}
    task = tables.task_instance.c
    mill.db.write(lambda c: c.execute(update(tables.dag_run).where(run.run_id == "r1").values(**over)))
    mill.db.write(
        lambda c: c.execute(update(tables.task_instance).where(task.task_id == "b").values(state=TaskState.RESTARTING))
    )
    mill.restart()
    mill.finish("b", "stopped")
    assert (mill.states("d")["b"], mill.run_state("d")) == (TaskState.NONE, RunState.FAILED)
    assert ends(mill) == []
