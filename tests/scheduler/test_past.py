"""``depends_on_past`` and ``wait_for_downstream``: a task waits for the run before, and is woken when that is done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from clockmill import DAG
from clockmill.actions.explain import explain
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.operators.python import ShortCircuitOperator
from clockmill.state import RunEnding, RunState, TaskState
from clockmill.storage import tables
from clockmill.testing.executor import ScriptedExecutor

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
NONE, RUNNING, SUCCESS, FAILED, SKIPPED = (
    TaskState.NONE,
    TaskState.RUNNING,
    TaskState.SUCCESS,
    TaskState.FAILED,
    TaskState.SKIPPED,
)


def chain(dag_id: str = "d", **first: Any) -> DAG:
    """Two tasks; the first has the arguments that matter."""
    with DAG(dag_id, schedule=None) as dag:
        BashOperator(task_id="a", bash_command="true", **first) >> BashOperator(task_id="b", bash_command="true")
    return dag


def run(mill, day: int, dag_id: str = "d", **values: Any) -> None:
    mill.trigger(dag_id, f"r{day}", logical_date=FIRST + timedelta(days=day), **values)


def finish(mill, task_id: str, day: int, outcome: str = "success", **report: Any) -> None:
    mill.executor.finish(task_id, outcome, run_id=f"r{day}", **report)
    mill.pump()


def states(mill, *days: int, task_id: str = "a") -> list[TaskState]:
    return [mill.states("d", f"r{day}")[task_id] for day in days]


def why(mill, task_id: str, day: int):
    return mill.db.read(lambda c: explain(c, "d", f"r{day}", task_id))


def clear(mill, day: int, *task_ids: str) -> None:
    mill.clear("d", *task_ids, run_id=f"r{day}")


def set_state(mill, day: int, task_id: str, state: TaskState) -> None:
    """Mark a task of a run that nobody works on, as another process would."""
    row, dag_run = mill.row("d", task_id, f"r{day}"), tables.dag_run

    def work(c: Any) -> None:
        c.execute(
            update(tables.task_instance).where(tables.task_instance.c.id == row.id).values(state=state, due_at=None)
        )
        c.execute(update(dag_run).where(dag_run.c.id == row.dag_run_id).values(revision=dag_run.c.revision + 1))

    mill.db.write(work)


def test_a_task_waits_until_that_of_the_run_before_has_succeeded(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    run(mill, 2)
    assert states(mill, 1, 2) == [RUNNING, NONE]
    finish(mill, "a", 1)
    assert states(mill, 1, 2) == [SUCCESS, RUNNING]


def test_it_does_not_wait_for_the_other_tasks_of_the_run_before(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    finish(mill, "a", 1)
    run(mill, 2)
    assert states(mill, 1, 2) == [SUCCESS, RUNNING]
    assert states(mill, 1, task_id="b") == [RUNNING]


def test_wait_for_downstream_waits_for_the_tasks_below_as_well(mill) -> None:
    mill.add(chain(wait_for_downstream=True))
    run(mill, 1)
    run(mill, 2)
    finish(mill, "a", 1)
    assert states(mill, 1, 2) == [SUCCESS, NONE]
    assert why(mill, "a", 2).verdict == "It waits: wait_for_downstream: in the run r1 before 'b' is running."
    finish(mill, "b", 1)
    assert states(mill, 2) == [RUNNING]


def test_a_failure_holds_back_the_next_run_until_it_is_mended(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    finish(mill, "a", 1, "failed")
    run(mill, 2)
    mill.pass_time(hours=5)
    assert states(mill, 1, 2) == [FAILED, NONE]
    answer = why(mill, "a", 2)
    assert answer.verdict == "It waits: depends_on_past: in the run r1 before 'a' is failed."
    assert [holder.what for holder in answer.holders] == ["r1 a (failed)"]
    clear(mill, 1)
    finish(mill, "a", 1)
    assert states(mill, 1, 2) == [SUCCESS, RUNNING]


def test_a_skipped_task_lets_the_next_run_go_on(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    run(mill, 2)
    finish(mill, "a", 1, "skipped")
    assert states(mill, 1, 2) == [SKIPPED, RUNNING]


def test_many_runs_go_one_after_another(mill) -> None:
    mill.add(chain(depends_on_past=True))
    for day in range(1, 6):
        run(mill, day)
    for day in range(1, 6):
        assert mill.executor.running().count("a") == 1
        finish(mill, "a", day)
    assert states(mill, *range(1, 6)) == [SUCCESS] * 5


def test_a_mark_by_somebody_else_wakes_the_next_run(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    finish(mill, "a", 1, "failed")
    run(mill, 2)
    set_state(mill, 1, "a", SUCCESS)
    mill.pump()
    assert states(mill, 2) == [RUNNING]


def test_a_scheduler_that_begins_looks_at_what_waits(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    finish(mill, "a", 1, "failed")
    run(mill, 2)
    set_state(mill, 1, "a", SUCCESS)
    mill.restart()
    mill.pump()
    assert states(mill, 2) == [RUNNING]


def test_a_scheduler_that_has_not_seen_the_next_run_yet_wakes_it_all_the_same(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    mill.listener.called = False
    mine = mill.service
    other = mill.another(ScriptedExecutor(mill.clock, supervisor_id="supervisor-b", slots=0))
    mill.service = other
    run(mill, 2)
    assert states(mill, 1, 2) == [RUNNING, NONE]
    mill.executor.finish("a", run_id="r1")
    for _ in range(5):  # nobody calls it, so it does not look at everything
        mine.run_once()
    assert states(mill, 1, 2) == [SUCCESS, RUNNING]


def test_what_another_scheduler_ended_wakes_the_next_run(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    run(mill, 2)
    mine = mill.service
    other = mill.another(ScriptedExecutor(mill.clock, supervisor_id="supervisor-b", slots=8))
    mill.executor.takes_work = False
    mill.executor.finish("a", run_id="r1")
    mine.run_once()
    mill.service = other
    mill.pump()
    assert states(mill, 1, 2) == [SUCCESS, RUNNING]


def test_the_run_before_that_is_deleted_lets_the_next_one_look_further_back(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    finish(mill, "a", 1)
    finish(mill, "b", 1)
    run(mill, 2)
    finish(mill, "a", 2, "failed")
    run(mill, 3)
    assert states(mill, 3) == [NONE]
    mill.db.write(lambda c: c.execute(tables.dag_run.delete().where(tables.dag_run.c.run_id == "r2")))
    mill.pump()
    assert states(mill, 3) == [RUNNING]


def test_a_run_made_in_between_is_waited_for(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    run(mill, 3)
    run(mill, 2)
    assert states(mill, 1, 2, 3) == [RUNNING, NONE, NONE]
    finish(mill, "a", 1)
    assert states(mill, 1, 2, 3) == [SUCCESS, RUNNING, NONE]
    finish(mill, "a", 2)
    assert states(mill, 3) == [RUNNING]


@pytest.mark.parametrize(("ignore_first", "after"), [(True, RUNNING), (False, NONE)])
def test_a_task_that_the_run_before_does_not_have(mill, ignore_first: bool, after: TaskState) -> None:
    mill.add(chain(depends_on_past=True, ignore_first_depends_on_past=ignore_first))
    run(mill, 1)
    assert states(mill, 1) == [RUNNING], "the first run of a DAG waits for nothing"
    finish(mill, "a", 1, "failed")
    set_state(mill, 1, "a", TaskState.REMOVED)
    run(mill, 2)
    assert states(mill, 2) == [after]
    if not ignore_first:
        assert "ignore_first_depends_on_past is off" in why(mill, "a", 2).verdict


def test_a_run_without_a_logical_date_waits_for_nothing(mill) -> None:
    mill.add(chain(depends_on_past=True))
    run(mill, 1)
    mill.add(chain("e", depends_on_past=True))
    run(mill, 2)
    mill.db.write(
        lambda c: c.execute(update(tables.dag_run).where(tables.dag_run.c.run_id == "r2").values(logical_date=None))
    )
    mill.restart()
    mill.pump()
    assert states(mill, 2) == [RUNNING]


@pytest.mark.parametrize(("waits", "after"), [(True, NONE), (False, SKIPPED)])
def test_waiting_before_being_skipped_is_a_choice(mill, waits: bool, after: TaskState) -> None:
    with DAG("d", schedule=None) as dag:
        stop = ShortCircuitOperator(task_id="stop", python_callable=bool)
        stop >> BashOperator(
            task_id="a", bash_command="true", depends_on_past=True, wait_for_past_depends_before_skipping=waits
        )
    mill.add(dag)
    run(mill, 1)
    finish(mill, "stop", 1)
    run(mill, 2)
    finish(mill, "stop", 2, skips="direct")
    assert states(mill, 1, 2) == [RUNNING, after]
    finish(mill, "a", 1)
    assert states(mill, 2) == [SKIPPED]


def test_an_empty_task_waits_too(mill) -> None:
    with DAG("d", schedule=None) as dag:
        BashOperator(task_id="b", bash_command="true") >> EmptyOperator(task_id="a", depends_on_past=True)
    mill.add(dag)
    run(mill, 1)
    run(mill, 2)
    finish(mill, "b", 2)
    assert states(mill, 2) == [NONE]
    finish(mill, "b", 1)
    assert states(mill, 1, 2) == [SUCCESS, SUCCESS]
    assert [mill.run_state("d", name) for name in ("r1", "r2")] == [RunState.SUCCESS] * 2


def test_a_run_that_only_waits_gives_its_place_to_the_earlier_run_that_was_cleared(mill) -> None:
    with DAG("d", schedule=None, max_active_runs=1, default_args={"depends_on_past": True}) as dag:
        BashOperator(task_id="a", bash_command="true") >> BashOperator(task_id="b", bash_command="true")
    mill.add(dag)
    run(mill, 1)
    finish(mill, "a", 1)
    finish(mill, "b", 1)
    run(mill, 2)
    clear(mill, 1)
    assert [mill.run_state("d", name) for name in ("r1", "r2")] == [RunState.QUEUED, RunState.RUNNING]
    finish(mill, "a", 2)
    assert [mill.run_state("d", name) for name in ("r1", "r2")] == [RunState.RUNNING, RunState.QUEUED]
    assert mill.run("d", "r2").reason == "gave its place to the earlier run r1"
    finish(mill, "a", 1)
    finish(mill, "b", 1)
    finish(mill, "b", 2)
    assert [mill.run_state("d", name) for name in ("r1", "r2")] == [RunState.SUCCESS] * 2


def test_a_run_that_gave_its_place_and_then_takes_too_long_failed_for_that(mill) -> None:
    with DAG("d", schedule=None, max_active_runs=1, dagrun_timeout=timedelta(hours=1)) as dag:
        BashOperator(task_id="a", bash_command="true", depends_on_past=True)
    mill.add(dag)
    run(mill, 1)
    finish(mill, "a", 1)
    run(mill, 2)
    finish(mill, "a", 2, "rescheduled", look_again_at="2026-01-01T00:10:00+00:00")
    clear(mill, 1)
    mill.clear("d", "a", run_id="r2")
    assert [mill.run_state("d", name) for name in ("r1", "r2")] == [RunState.RUNNING, RunState.QUEUED]
    finish(mill, "a", 1)
    assert (mill.run_state("d", "r2"), mill.run("d", "r2").reason) == (RunState.RUNNING, "")
    mill.pass_time(hours=1)
    late = mill.run("d", "r2")
    assert (late.state, late.ending) == (RunState.FAILED, RunEnding.TIMEOUT)
    assert late.reason == "dagrun_timeout: the run took longer than 1:00:00"


def test_the_first_run_of_a_backfill_waits_for_nothing_and_the_others_do(mill) -> None:
    mill.add(chain(depends_on_past=True))
    for day in (1, 2, 3):
        run(mill, day)
    finish(mill, "a", 1, "failed")
    assert states(mill, 2, 3) == [NONE, NONE]
    dates = {"from_date": FIRST, "to_date": FIRST, "created_at": FIRST}

    def adopt(c: Any) -> None:
        c.execute(tables.backfill.insert().values(id=1, dag_id="d", conf={}, is_settled=True, **dates))
        c.execute(update(tables.dag_run).where(tables.dag_run.c.run_id != "r1").values(backfill_id=1))

    mill.db.write(adopt)
    mill.restart()
    mill.pump()
    assert states(mill, 2, 3) == [RUNNING, NONE]
    finish(mill, "a", 2)
    assert states(mill, 3) == [RUNNING]
