"""Trigger, clear, pause, delete and ask why: what a person sees, over a scheduler that works."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from clockmill import DAG, Param
from clockmill.actions.change import apply, preview
from clockmill.actions.clear import Clear
from clockmill.actions.dags import delete_dag, set_paused
from clockmill.actions.explain import explain
from clockmill.actions.missing_pools import missing_pools
from clockmill.actions.selection import RunSelection, TaskSelection
from clockmill.actions.trigger import trigger_run
from clockmill.errors import Conflict, NotFound, UsageError
from clockmill.operators.bash import BashOperator
from clockmill.serde import decode, dumps, encode
from clockmill.state import RunState, TaskState
from clockmill.storage import tables
from clockmill.storage.pools import Pool, set_pools


def chain_dag(dag_id: str = "d", **arguments: object) -> DAG:
    with DAG(dag_id, schedule=None, **arguments) as dag:
        a, b, c = (BashOperator(task_id=name, bash_command="true") for name in "abc")
        a >> b >> c
    return dag


def clearing(*task_ids: str, downstream: bool = True, **options: bool) -> Clear:
    names = tuple((task_id, None) for task_id in task_ids)
    tasks = TaskSelection(names=names, downstream=downstream, **options)
    return Clear(runs=RunSelection(dag_id="d", run_ids=("r1",)), tasks=tasks)


def clear(mill, *task_ids: str, **options: bool) -> None:
    mill.clear("d", *task_ids, **options)


def why(mill, task_id: str, run_id: str = "r1", dag_id: str = "d") -> str:
    return mill.db.read(lambda c: explain(c, dag_id, run_id, task_id)).verdict


def finish_all(mill) -> None:
    while mill.executor.running():
        mill.finish(mill.executor.running()[0])


NO_CONF = [
    ({"a": float("inf")}, "inf"),
    ({"a": "\ud800"}, "cannot be stored"),
    ({"a": ["x\0"]}, "cannot be stored"),
    ({"a\0": 1}, "cannot be stored"),
    ({"a": object()}, "a object, which JSON"),
    ({"a": "x" * (1 << 20)}, "bytes"),
]


# --- trigger --------------------------------------------------------------------------------


def test_a_triggered_run_has_the_present_as_its_logical_date(mill) -> None:
    mill.add(chain_dag())
    answer = trigger_run(mill.db, mill.clock, "d", actor="test")
    assert answer.run.logical_date == mill.clock.now()
    assert answer.run.run_id == "manual__2026-01-01T00:00:00+00:00"
    assert answer.run.state is RunState.QUEUED


@pytest.mark.parametrize(("conf", "problem"), NO_CONF)
def test_a_configuration_that_cannot_be_stored_everywhere_is_refused(mill, conf, problem) -> None:
    mill.add(chain_dag())
    with pytest.raises(UsageError, match=problem):
        trigger_run(mill.db, mill.clock, "d", actor="test", conf=conf)


def test_a_configuration_may_be_deep_but_not_bottomless(mill) -> None:
    mill.add(chain_dag())

    def nested(levels: int) -> dict[str, object]:
        value: object = 1
        for _ in range(levels):
            value = [value]
        return {"a": value}

    trigger_run(mill.db, mill.clock, "d", actor="test", conf=nested(60))
    with pytest.raises(UsageError, match="nested more than 64 levels"):
        trigger_run(mill.db, mill.clock, "d", actor="test", conf=nested(5000))


def test_a_second_trigger_with_the_same_run_id_is_answered_with_the_run_that_is_there(mill) -> None:
    mill.add(chain_dag())
    first = trigger_run(mill.db, mill.clock, "d", actor="test", run_id="x")
    mill.clock.advance(10)
    second = trigger_run(mill.db, mill.clock, "d", actor="test", run_id="x")
    assert (first.created, second.created, second.run.id) == (True, False, first.run.id)


def test_two_runs_cannot_have_one_logical_date(mill) -> None:
    mill.add(chain_dag())
    moment = datetime(2025, 5, 5, tzinfo=UTC)
    trigger_run(mill.db, mill.clock, "d", actor="test", run_id="x", logical_date=moment)
    with pytest.raises(Conflict, match=r"'x'.*already has the logical date"):
        trigger_run(mill.db, mill.clock, "d", actor="test", run_id="y", logical_date=moment)


def test_an_unknown_dag_is_answered_with_the_nearest_name(mill) -> None:
    mill.add(chain_dag("weather"))
    with pytest.raises(NotFound, match="Did you mean 'weather'"):
        trigger_run(mill.db, mill.clock, "wether", actor="test")


@pytest.mark.parametrize("run_id", ["../../etc/passwd", "a/b", "", "x" * 300, ".hidden", "a\x00b"])
def test_a_run_id_that_could_leave_the_log_folder_is_refused(mill, run_id: str) -> None:
    mill.add(chain_dag())
    with pytest.raises(UsageError):
        trigger_run(mill.db, mill.clock, "d", actor="test", run_id=run_id)


def test_wrong_parameters_are_all_named_at_once(mill) -> None:
    params = {"n": Param(1, type="integer", minimum=1), "who": Param("me", type="string")}
    mill.add(chain_dag(params=params))
    with pytest.raises(UsageError, match=r"(?s)n:.*who:"):
        trigger_run(mill.db, mill.clock, "d", actor="test", conf={"n": 0, "who": 3})
    trigger_run(mill.db, mill.clock, "d", actor="test", run_id="r1", conf={"n": 5})
    mill.pump()
    assert mill.executor.workload("a").context["params"] == {"n": 5, "who": "me"}


def test_triggering_a_paused_dag_says_that_it_is_paused(mill) -> None:
    mill.add(chain_dag(), paused=True)
    assert trigger_run(mill.db, mill.clock, "d", actor="test").is_paused


# --- clear --------------------------------------------------------------------------------


def test_a_cleared_task_and_what_is_below_it_run_again(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    finish_all(mill)
    clear(mill, "b")
    assert mill.run_state("d") is RunState.RUNNING
    assert mill.states("d")["a"] is TaskState.SUCCESS
    assert mill.executor.running() == ["b"]
    assert mill.executor.workload("b").try_number == 2
    finish_all(mill)
    assert mill.run_state("d") is RunState.SUCCESS
    assert mill.row("d", "c").try_number == 2


def test_clearing_gives_all_retries_and_the_whole_crash_budget_again(mill) -> None:
    mill.add(chain_dag(default_args={"retries": 1, "retry_delay": timedelta(0)}))
    mill.trigger("d")
    mill.finish("a", "lost")
    mill.finish("a", "failed")
    mill.finish("a", "failed")
    clear(mill, "a")
    row = mill.row("d", "a")
    assert (row.try_number, row.max_tries, row.crashes) == (3, 4, 0)


def test_clearing_only_failed_tasks_leaves_the_others(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a")
    mill.finish("b", "failed")
    clear(mill, only_failed=True)
    assert mill.executor.running() == ["b"]
    assert mill.row("d", "a").try_number == 1


def test_the_xcoms_of_a_cleared_task_are_gone(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", xcoms=[("return_value", "1")])
    clear(mill, "a")
    assert mill.db.read(lambda c: c.execute(select(tables.xcom)).all()) == []


def test_a_running_task_is_stopped_before_it_runs_again(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    first = mill.executor.workload("a").attempt_id
    clear(mill, "a")
    assert mill.executor.stopped == [first]
    assert mill.executor.running() == ["a"]
    assert mill.executor.workload("a").attempt_id != first
    assert mill.row("d", "a").crashes == 0


def test_until_its_processes_are_gone_a_cleared_task_does_not_start_again(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.executor.stop_attempts = lambda ids, reason: None
    clear(mill, "a")
    assert mill.states("d")["a"] is TaskState.RESTARTING
    assert len(mill.executor.submissions) == 1
    assert "starts again when its processes are gone" in why(mill, "a")
    mill.finish("a", "success")
    assert len(mill.executor.submissions) == 2


def test_a_clear_is_refused_when_the_run_changed_since_the_preview(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    shown = mill.db.read(lambda c: preview(c, clearing()))
    mill.finish("a")
    with pytest.raises(Conflict, match="changed in between"):
        apply(mill.db, mill.clock, clearing(), fingerprint=shown.fingerprint, actor="test")


def test_clearing_a_branch_lets_it_choose_again(mill) -> None:
    with DAG("d", schedule=None) as dag:
        choose, left, right = (BashOperator(task_id=n, bash_command="true") for n in ("choose", "left", "right"))
        choose >> [left, right]
    mill.add(dag)
    mill.trigger("d")
    mill.finish("choose", branch=["left"])
    mill.finish("left")
    clear(mill, "choose")
    mill.finish("choose", branch=["right"])
    assert mill.executor.running() == ["right"]
    assert mill.states("d")["left"] is TaskState.SKIPPED


def test_a_task_that_a_branch_left_out_stays_out_when_it_alone_is_cleared(mill) -> None:
    with DAG("d", schedule=None) as dag:
        choose, left, right = (BashOperator(task_id=n, bash_command="true") for n in ("choose", "left", "right"))
        choose >> [left, right]
    mill.add(dag)
    mill.trigger("d")
    mill.finish("choose", branch=["left"])
    mill.finish("left")
    clear(mill, "right")
    assert mill.states("d")["right"] is TaskState.SKIPPED
    assert mill.run_state("d") is RunState.SUCCESS


def test_an_unknown_task_is_answered_with_the_nearest_name(mill) -> None:
    with DAG("d", schedule=None) as dag:
        BashOperator(task_id="extract", bash_command="true")
    mill.add(dag)
    mill.trigger("d")
    with pytest.raises(NotFound, match="Did you mean 'extract'"):
        mill.db.read(lambda c: preview(c, clearing("extrct")))


# --- pause and delete --------------------------------------------------------------------------------


def test_pausing_twice_changes_nothing_the_second_time(mill) -> None:
    mill.add(chain_dag())
    assert set_paused(mill.db, mill.clock, "d", paused=True, actor="test")
    assert not set_paused(mill.db, mill.clock, "d", paused=True, actor="test")
    assert len(mill.events("dag_paused")) == 1


def test_a_paused_dag_begins_no_task_but_finishes_what_runs(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    set_paused(mill.db, mill.clock, "d", paused=True, actor="test")
    mill.finish("a")
    assert mill.executor.running() == []
    assert "is paused" in why(mill, "b")
    set_paused(mill.db, mill.clock, "d", paused=False, actor="test")
    mill.pump()
    assert mill.executor.running() == ["b"]


def test_a_dag_with_running_tasks_cannot_be_deleted(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    with pytest.raises(Conflict, match="1 tasks of DAG 'd' are running"):
        delete_dag(mill.db, mill.clock, "d", actor="test")
    finish_all(mill)
    delete_dag(mill.db, mill.clock, "d", actor="test")
    assert mill.runs("d") == []
    assert mill.db.read(lambda c: c.execute(select(tables.task_instance)).all()) == []


# --- why --------------------------------------------------------------------------------


def test_why_names_the_upstream_tasks_that_are_not_done(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    answer = mill.db.read(lambda c: explain(c, "d", "r1", "b"))
    assert "0 of 1 upstream tasks are done" in answer.verdict
    assert answer.details == ["a is running"]


def test_why_names_the_full_pool_and_who_holds_it(mill) -> None:
    mill.db.write(lambda c: c.execute(insert(tables.pool).values(name="small", slots=1)))
    with DAG("d", schedule=None) as dag:
        for name in "ab":
            BashOperator(task_id=name, bash_command="true", pool="small")
    mill.add(dag)
    mill.trigger("d")
    waiting = next(name for name in "ab" if name not in mill.executor.running())
    answer = mill.db.read(lambda c: explain(c, "d", "r1", waiting))
    assert answer.verdict == "The pool 'small' is full: 1 of 1 slots in use."
    assert mill.executor.running()[0] in answer.holders[0].what


def test_why_names_a_pool_that_does_not_exist(mill) -> None:
    with DAG("d", schedule=None) as dag:
        BashOperator(task_id="a", bash_command="true", pool="nowhere")
    mill.add(dag)
    mill.trigger("d")
    assert why(mill, "a") == "Its pool 'nowhere' does not exist. 'clockmill pools set nowhere SLOTS' makes it."
    assert mill.executor.running() == []


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({}, []),
        ({"a": "reports"}, []),
        (
            {"a": "report"},
            [
                "The pool 'report' does not exist, so the task 'a' waits for ever. Did you mean 'reports'? "
                "'clockmill pools set report SLOTS' makes it."
            ],
        ),
        (
            {"a": "x y", "b": "x y", "c": "x y", "d": "x y", "e": "z"},
            [
                "The pool 'x y' does not exist, so the tasks 'a', 'b', 'c' and 1 more wait for ever. "
                "'clockmill pools set 'x y' SLOTS' makes it.",
                "The pool 'z' does not exist, so the task 'e' waits for ever. 'clockmill pools set z SLOTS' makes it.",
            ],
        ),
    ],
)
def test_a_dag_is_told_of_the_pools_that_do_not_exist(mill, named: dict[str, str], told: list[str]) -> None:
    mill.db.write(lambda c: set_pools(c, [Pool(name="reports", slots=1)], at=mill.clock.now(), actor="test"))
    with DAG("d", schedule=None) as dag:
        for name in "abcde":
            BashOperator(task_id=name, bash_command="true", pool=named.get(name))
    assert mill.db.read(lambda c: missing_pools(c, decode(dumps(encode(dag))))) == told


def test_why_names_the_limit_of_the_run(mill) -> None:
    with DAG("d", schedule=None, max_active_tasks=1) as dag:
        for name in "ab":
            BashOperator(task_id=name, bash_command="true")
    mill.add(dag)
    mill.trigger("d")
    waiting = next(name for name in "ab" if name not in mill.executor.running())
    assert "max_active_tasks=1" in why(mill, waiting)


def test_why_names_the_runs_that_take_all_places(mill) -> None:
    mill.add(chain_dag(max_active_runs=1))
    mill.trigger("d", "r1")
    mill.clock.advance(1)
    mill.trigger("d", "r2")
    answer = mill.db.read(lambda c: explain(c, "d", "r2", "a"))
    assert "max_active_runs=1" in answer.verdict
    assert [holder.what for holder in answer.holders] == ["r1"]


def test_why_tells_when_the_next_try_is_due(mill) -> None:
    mill.add(chain_dag(default_args={"retries": 1, "retry_delay": timedelta(seconds=60)}))
    mill.trigger("d")
    mill.finish("a", "failed", reason="ValueError: no")
    answer = mill.db.read(lambda c: explain(c, "d", "r1", "a"))
    assert "2026-01-01T00:01:00.000000+00:00" in answer.verdict
    assert answer.details == ["ValueError: no", "By its own arguments: retry_delay is 60 s."]


def test_why_tells_how_a_finished_task_ended(mill) -> None:
    mill.add(chain_dag())
    mill.trigger("d")
    mill.finish("a", "failed", reason="ValueError: no")
    answer = mill.db.read(lambda c: explain(c, "d", "r1", "a"))
    assert answer.verdict.startswith("It is finished: failed")
    assert answer.details == ["ValueError: no"]
    assert "upstream" in mill.db.read(lambda c: explain(c, "d", "r1", "b")).details[0]
