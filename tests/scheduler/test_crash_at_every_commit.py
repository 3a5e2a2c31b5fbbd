"""The scheduler dies right before or right after each of its commits; a new one goes on as if nothing had happened."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from clockmill import DAG
from clockmill.actions import backfill_runs
from clockmill.actions.backfill import BackfillRequest, request_backfill
from clockmill.actions.backfill_steer import resume_backfill
from clockmill.operators.bash import BashOperator
from clockmill.state import BackfillState, RunState, TaskState
from clockmill.storage import tables
from clockmill.storage.backfill_pages import list_backfills
from tests.crashes import Crash, crash_at

SEVERAL = 60


def diamond() -> DAG:
    arguments = {"retries": 1, "retry_delay": timedelta(seconds=30)}
    with DAG("d", schedule="@hourly", max_active_runs=2, default_args=arguments) as dag:
        first, left, right, last = (BashOperator(task_id=n, bash_command="true") for n in ("a", "left", "right", "z"))
        first >> [left, right] >> last
    return dag


def play(mill, ledger: list[tuple[str, str, int, str]]) -> None:
    """End everything that runs: the first try of ``left`` fails, all else succeeds."""
    for workload in list(mill.executor.held.values()):
        fails = workload.task_id == "left" and workload.try_number == 1
        outcome = "failed" if fails else "success"
        ledger.append((workload.run_id, workload.task_id, workload.try_number, outcome))
        value = [] if fails else [("return_value", f'"{workload.task_id}"')]
        mill.executor.finish(workload.task_id, outcome, run_id=workload.run_id, xcoms=value)


def work_through(mill, ledger: list[tuple[str, str, int, str]]) -> int:
    """Let time pass until the first two runs are over; a crash brings a new scheduler. Returns how often it crashed."""
    crashes = 0
    for _ in range(SEVERAL):
        try:
            mill.pass_time(minutes=20)
            play(mill, ledger)
            mill.pump()
        except Crash:
            crashes += 1
            mill.restart()
        first_two = [row.state for row in mill.runs("d")][:2]
        if first_two == [RunState.SUCCESS, RunState.SUCCESS]:
            return crashes
    raise AssertionError(f"the runs did not end: {mill.runs('d')}")


def check_invariants(mill, ledger: list[tuple[str, str, int, str]]) -> None:
    runs = mill.runs("d")
    assert len({row.logical_date for row in runs}) == len(runs)
    for row in runs[:2]:
        tasks = {task.task_id: task for task in mill.rows("d", row.run_id)}
        assert {task.state for task in tasks.values()} == {TaskState.SUCCESS}
        assert {name: task.try_number for name, task in tasks.items()} == {"a": 1, "left": 2, "right": 1, "z": 1}
        assert all(task.crashes == 0 for task in tasks.values())
    executed = Counter(ledger)
    assert max(executed.values()) == 1, "a task was executed twice"
    assert len(set(mill.executor.submissions)) == len(set(ledger)) + len(mill.executor.held)
    values = mill.db.read(lambda c: list(c.execute(select(tables.xcom.c.task_instance_id, tables.xcom.c.key))))
    assert len(values) == len(set(values)) == sum(1 for entry in executed if entry[3] == "success")
    order = [(run, task) for run, task, _, outcome in ledger if outcome == "success"]
    for run in {run for run, _ in order}:
        names = [task for each, task in order if each == run]
        assert names == sorted(names, key=["a", "right", "left", "z"].index)


@pytest.mark.fault
@pytest.mark.parametrize("point", ["store.commit.before", "store.commit.after"])
def test_a_crash_at_any_commit_loses_nothing_and_runs_nothing_twice(mill, point: str) -> None:
    mill.add(diamond())
    number, crashes = 1, 1
    ledger: list[tuple[str, str, int, str]] = []
    while crashes and number < SEVERAL:
        mill.executor.submissions.clear()
        ledger.clear()
        wipe(mill)
        disarm = crash_at(point, number)
        try:
            crashes = work_through(mill, ledger)
        finally:
            disarm()
        check_invariants(mill, ledger)
        number += 1
    assert number > 10, "the scheduler commits more often than this test crashed it"


# --- backfills -------------------------------------------------------------------------------------------------------

DAYS = {"first": date(2025, 1, 1), "last": date(2025, 1, 3)}
FAILS = "2025-01-02"


def steer(mill) -> BackfillState | None:
    """What a person does who wants a backfill, and resumes it when it is paused; returns how it stands."""
    rows = mill.db.read(lambda c: list_backfills(c))
    if not rows:
        request_backfill(mill.db, mill.clock, BackfillRequest(dag_id="b", stop_at="1", **DAYS), actor="test")
        return None
    if rows[0].state is BackfillState.PAUSED:
        resume_backfill(mill.db, mill.clock, rows[0].id, actor="test", rerun_failed=True)
    return rows[0].state


def work_through_backfill(mill, ledger: Counter[tuple[str, int]]) -> int:
    """Let a backfill of three days end, of which the second fails at first; returns how often somebody crashed."""
    crashes = 0
    for _ in range(SEVERAL):
        try:
            if steer(mill) is BackfillState.SUCCESS:
                return crashes
            mill.pass_time(minutes=1)
            for workload in list(mill.executor.held.values()):
                fails = FAILS in workload.run_id and workload.try_number == 1
                ledger[workload.run_id, workload.try_number] += 1
                mill.executor.finish("t", "failed" if fails else "success", run_id=workload.run_id)
            mill.pump()
        except Crash:
            crashes += 1
            mill.restart()
    raise AssertionError(f"the backfill did not end: {mill.runs('b')}")


@pytest.mark.fault
@pytest.mark.parametrize("point", ["store.commit.before", "store.commit.after"])
def test_a_crash_at_any_commit_of_a_backfill_makes_each_run_once(mill, monkeypatch, point: str) -> None:
    monkeypatch.setattr(backfill_runs, "BATCH", 2)
    with DAG("b", schedule="@daily", max_active_runs=2) as dag:
        BashOperator(task_id="t", bash_command="true")
    mill.add(dag)
    mill.db.write(lambda c: c.execute(tables.dag.update().values(next_run_after=None)))
    number, crashes = 1, 1
    while crashes and number < SEVERAL:
        wipe(mill)
        mill.db.write(lambda c: c.execute(tables.backfill.delete()))
        ledger: Counter[tuple[str, int]] = Counter()
        disarm = crash_at(point, number)
        try:
            crashes = work_through_backfill(mill, ledger)
        finally:
            disarm()
        tries = {row.run_id[10:20]: mill.row("b", "t", row.run_id).try_number for row in mill.runs("b")}
        assert tries == {f"2025-01-0{day}": 2 if day == 2 else 1 for day in range(1, 4)}
        assert (max(ledger.values()), sum(ledger.values())) == (1, 4)
        (row,) = mill.db.read(lambda c: list_backfills(c))
        assert (row.run_count, row.is_settled) == (3, True)
        number += 1
    assert number > 12, "the scheduler commits more often than this test crashed it"


def wipe(mill) -> None:
    """Forget all runs and set the clock back, for the next crash."""
    midnight = mill.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    mill.clock.advance(((midnight + timedelta(days=1)) - mill.clock.now()).total_seconds())
    with mill.db.engine.connect().execution_options(clockmill_write=True) as connection, connection.begin():
        connection.execute(tables.dag_run.delete())
    mill.db.write(lambda c: c.execute(tables.dag.update().values(is_paused=False)))
    mill.executor.held.clear()
    mill.executor.unacknowledged.clear()
    mill.restart()
