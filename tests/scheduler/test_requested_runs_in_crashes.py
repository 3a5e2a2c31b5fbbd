"""A task triggers a run and waits for it, while the scheduler dies at each of its commits: there is one run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from clockmill import DAG
from clockmill.clock import iso
from clockmill.operators.bash import BashOperator
from clockmill.protocols import RunRequest, Workload
from clockmill.state import FINISHED_RUN_STATES, RunState, TaskState
from tests.mill import Mill
from tests.scheduler.test_crash_at_every_commit import SEVERAL, Crash, crash_at


def play(mill: Mill, workload: Workload) -> None:
    """End an attempt as its operator would: ask and look again, look, or do the work that was asked for."""
    if workload.dag_id == "other":
        mill.executor.finish("work", run_id=workload.run_id)
        return
    wanted = RunRequest(dag_id="other", run_id=f"wanted-{workload.run_id}")
    later = iso(mill.clock.now() + timedelta(seconds=30))
    if not workload.context["reschedules"]:
        mill.executor.finish(
            "ask", "rescheduled", run_id=workload.run_id, run_requests=[wanted.to_json()], look_again_at=later
        )
    elif mill.run_state("other", wanted.run_id) is RunState.SUCCESS:
        mill.executor.finish("ask", run_id=workload.run_id)
    else:
        mill.executor.finish("ask", "rescheduled", run_id=workload.run_id, look_again_at=later)


def work_through(mill: Mill, run_id: str) -> int:
    """Let time pass until the run is over; returns how often the scheduler crashed."""
    crashes = 0
    for _ in range(SEVERAL):
        try:
            mill.pass_time(seconds=20)
            for workload in list(mill.executor.held.values()):
                play(mill, workload)
            mill.pump()
        except Crash:
            crashes += 1
            mill.restart()
        if mill.run_state("asks", run_id) in FINISHED_RUN_STATES:
            return crashes
    raise AssertionError(f"{run_id} did not end: {mill.states('asks', run_id)}")


@pytest.mark.fault
@pytest.mark.parametrize("point", ["store.commit.before", "store.commit.after"])
def test_a_crash_at_any_commit_makes_no_second_run_and_loses_none(mill: Mill, point: str) -> None:
    for dag_id, task_id in (("asks", "ask"), ("other", "work")):
        with DAG(dag_id, schedule=None) as dag:
            BashOperator(task_id=task_id, bash_command="true")
        mill.add(dag)
    number, crashes = 1, 1
    while crashes and number < SEVERAL:
        run_id = f"r{number}"
        mill.clock.advance(1)
        mill.trigger("asks", run_id)
        disarm = crash_at(point, number)
        try:
            crashes = work_through(mill, run_id)
        finally:
            disarm()
        task = mill.row("asks", "ask", run_id)
        assert (task.state, task.try_number, task.crashes) == (TaskState.SUCCESS, 1, 0)
        assert [run.run_id for run in mill.runs("other")].count(f"wanted-{run_id}") == 1
        assert len(mill.runs("other")) == number
        assert mill.row("other", "work", f"wanted-{run_id}").try_number == 1
        number += 1
    assert number > 5, "the scheduler commits more often than this test crashed it"
