"""What becomes of runs and tasks when attempts end, seen from outside the scheduler."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, func, select, update

from clockmill import DAG
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.state import RunState, TaskState
from clockmill.storage import tables
from clockmill.storage.engine import DatabaseUnavailable


def chain_dag(dag_id: str = "d", **arguments: object) -> DAG:
    with DAG(dag_id, schedule=None, **arguments) as dag:
        a, b, c = (BashOperator(task_id=name, bash_command="true") for name in "abc")
        a >> b >> c
    return dag


def test_a_chain_runs_one_task_after_the_other_and_the_run_succeeds(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    for task_id in "abc":
        assert mill.executor.running() == [task_id]
        mill.finish(task_id)
    assert set(mill.states("d").values()) == {TaskState.SUCCESS}
    assert mill.run_state("d") is RunState.SUCCESS


def test_a_failed_task_fails_what_is_below_it_and_the_run(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", "failed", reason="ValueError: no")
    assert mill.states("d") == {
        "a": TaskState.FAILED,
        "b": TaskState.UPSTREAM_FAILED,
        "c": TaskState.UPSTREAM_FAILED,
    }
    assert mill.run_state("d") is RunState.FAILED
    assert mill.row("d", "a").reason == "ValueError: no"


def test_a_retry_begins_exactly_when_its_delay_is_over(mill) -> None:
    mill.add(chain_dag(default_args={"retries": 1, "retry_delay": timedelta(seconds=60)}))
    mill.trigger("d")
    mill.finish("a", "failed", reason="boom")
    assert mill.states("d")["a"] is TaskState.UP_FOR_RETRY
    mill.pass_time(seconds=59.999)
    assert mill.executor.running() == []
    mill.pass_time(seconds=0.001)
    assert mill.executor.running() == ["a"]
    assert mill.executor.workload("a").try_number == 2
    mill.finish("a", "failed", reason="boom again")
    assert mill.states("d")["a"] is TaskState.FAILED


def test_exponential_back_off_doubles_the_delay(mill) -> None:
    arguments = {"retries": 2, "retry_delay": timedelta(seconds=10), "retry_exponential_backoff": True}
    mill.add(chain_dag(default_args=arguments))
    mill.trigger("d")
    mill.finish("a", "failed")
    mill.pass_time(seconds=10)
    mill.finish("a", "failed")
    mill.pass_time(seconds=19)
    assert mill.executor.running() == []
    mill.pass_time(seconds=1)
    assert mill.executor.running() == ["a"]


def test_a_task_may_ask_for_no_more_tries(mill) -> None:
    mill.add(chain_dag(default_args={"retries": 3}))
    mill.trigger("d")
    mill.finish("a", "failed", no_retry=True)
    assert mill.states("d")["a"] is TaskState.FAILED


def test_a_task_may_choose_its_own_delay(mill) -> None:
    mill.add(chain_dag(default_args={"retries": 3}))
    mill.trigger("d")
    mill.finish("a", "failed", retry_after=5.0)
    mill.pass_time(seconds=5)
    assert mill.executor.running() == ["a"]


def test_a_delay_beyond_all_calendars_is_a_very_long_one(mill) -> None:
    mill.add(chain_dag(default_args={"retries": 3}))
    mill.trigger("d")
    mill.finish("a", "failed", retry_after=1e300)
    assert mill.row("d", "a").due_at > mill.clock.now() + timedelta(days=3000)


def test_a_skipped_task_skips_what_is_below_it_and_the_run_succeeds(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", "skipped")
    assert mill.states("d")["c"] is TaskState.SKIPPED
    assert mill.run_state("d") is RunState.SUCCESS


def test_a_lost_attempt_is_offered_again_without_spending_a_try(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    first = mill.executor.workload("a").attempt_id
    mill.executor.die()
    mill.pump()
    again = mill.executor.workload("a")
    assert (again.try_number, again.attempt_id != first) == (1, True)
    assert mill.row("d", "a").crashes == 1


def test_the_crash_budget_is_spent_exactly(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    for _ in range(3):
        mill.finish("a", "lost", reason="killed by SIGKILL")
        assert mill.executor.running() == ["a"]
    mill.finish("a", "lost", reason="killed by SIGKILL")
    assert mill.states("d")["a"] is TaskState.FAILED
    assert "crash budget of 3 is spent" in mill.row("d", "a").reason


def test_a_released_attempt_spends_nothing(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", "released")
    row = mill.row("d", "a")
    assert (mill.executor.running(), row.crashes, row.try_number) == (["a"], 0, 1)


def test_a_branch_leaves_out_what_it_does_not_follow(mill) -> None:
    with DAG("d", schedule=None) as dag:
        choose, left, right = (BashOperator(task_id=n, bash_command="true") for n in ("choose", "left", "right"))
        join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
        choose >> [left, right] >> join
    mill.add(dag)
    mill.trigger("d")
    mill.finish("choose", branch=["left"])
    assert mill.states("d")["right"] is TaskState.SKIPPED
    mill.finish("left")
    assert mill.states("d")["join"] is TaskState.SUCCESS


def test_a_short_circuit_skips_everything_below(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", skips="downstream")
    assert mill.states("d") == {"a": TaskState.SUCCESS, "b": TaskState.SKIPPED, "c": TaskState.SKIPPED}


def test_empty_tasks_need_no_attempt(mill) -> None:
    with DAG("d", schedule=None) as dag:
        EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")
    mill.add(dag)
    mill.trigger("d")
    assert mill.run_state("d") is RunState.SUCCESS
    assert mill.executor.submissions == []


def test_xcoms_of_a_success_are_visible_and_those_of_a_failure_are_not(mill) -> None:
    mill.add(chain_dag(default_args={"retries": 1, "retry_delay": timedelta(0)}))
    mill.trigger("d")
    mill.finish("a", "failed", xcoms=[("return_value", "1")])
    count = select(func.count()).select_from(tables.xcom)
    assert mill.db.read(lambda c: c.execute(count).scalar_one()) == 0
    mill.finish("a", xcoms=[("return_value", "[1,2]")])
    stored = mill.db.read(lambda c: c.execute(select(tables.xcom)).one())
    assert (stored.value, stored.length, stored.try_number) == ("[1,2]", 2, 2)


def test_a_report_that_comes_twice_changes_nothing_the_second_time(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    workload = mill.executor.workload("a")
    mill.finish("a")
    mill.executor.held[workload.attempt_id] = workload
    mill.finish("a", "failed")
    assert mill.states("d")["a"] is TaskState.SUCCESS


def test_a_report_with_a_wrong_token_is_refused(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", "failed", token="0" * 32)
    assert mill.states("d")["a"] is TaskState.RUNNING


def test_a_report_that_cannot_be_stored_fails_its_own_task_only(mill) -> None:
    with DAG("d", schedule=None) as dag:
        BashOperator(task_id="good", bash_command="true")
        BashOperator(task_id="poison", bash_command="true")
    mill.add(dag)
    mill.trigger("d")
    mill.executor.finish("good")
    mill.finish("poison", exit_code="no number at all", xcoms=[("k", None)])
    assert mill.states("d") == {"good": TaskState.SUCCESS, "poison": TaskState.FAILED}
    assert "cannot be stored" in mill.row("d", "poison").reason


def test_a_run_that_takes_too_long_is_failed_and_its_tasks_are_stopped(mill) -> None:
    mill.add(chain_dag(dagrun_timeout=timedelta(minutes=5)))
    mill.trigger("d")
    attempt = mill.executor.workload("a").attempt_id
    mill.pass_time(minutes=4, seconds=59)
    assert mill.run_state("d") is RunState.RUNNING
    mill.pass_time(seconds=1)
    assert mill.run_state("d") is RunState.FAILED
    assert "dagrun_timeout" in mill.run("d").reason
    assert mill.executor.stopped == [attempt]
    assert set(mill.states("d").values()) == {TaskState.SKIPPED}


def test_the_begin_of_a_long_task_is_shown_while_it_runs(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    assert mill.row("d", "a").start_date is None
    mill.executor.begin("a")
    mill.pump()
    assert mill.row("d", "a").start_date == mill.clock.now()
    mill.finish("a")
    assert mill.states("d")["b"] is TaskState.RUNNING


def test_a_run_that_cannot_be_worked_on_holds_back_no_other_run(mill) -> None:
    mill.add(chain_dag("bad"))
    mill.add(chain_dag("good"))
    mill.trigger("bad")
    broken = update(tables.dag_version).where(tables.dag_version.c.dag_id == "bad").values(document='{"schema": 99}')
    mill.db.write(lambda c: c.execute(broken))
    mill.restart()
    mill.trigger("good", "r2")
    mill.executor.finish("a", run_id="r1")
    mill.executor.finish("a", run_id="r2")
    mill.pump()
    assert mill.states("good", "r2")["b"] is TaskState.RUNNING
    assert mill.states("bad", "r1")["a"] is TaskState.RUNNING


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the size of a server cannot be limited
def test_a_success_that_finds_the_disk_full_is_stored_when_there_is_room(mill) -> None:
    database = mill.open_database()
    mill.open_database = lambda: database
    mill.restart()
    mill.add(chain_dag())
    mill.trigger("d")
    limit = mill.db.read(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one()) + 1

    @event.listens_for(database.engine, "begin")
    def restrain(connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={limit}")

    with pytest.raises(DatabaseUnavailable, match="full"):
        mill.finish("a", xcoms=[("return_value", f'"{"x" * 100_000}"')])
    assert mill.states("d")["a"] is not TaskState.FAILED
    limit = 1_000_000
    mill.pump()
    assert mill.states("d")["a"] is TaskState.SUCCESS
