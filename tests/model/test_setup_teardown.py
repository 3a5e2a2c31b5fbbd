"""Setups and teardowns as authors write them: which edges they draw, and what they are in the stored DAG."""

from __future__ import annotations

from typing import Any

import pytest

from clockmill import DAG, TaskGroup, setup, task, task_group, teardown
from clockmill.errors import DagDefinitionError
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.serde import TaskDoc, decode, dumps, encode


@setup
def create() -> str:
    return "made"


@teardown
def delete(name: Any = None) -> None: ...


@task
def work(name: Any = None) -> None: ...


def stored(dag: DAG) -> dict[str, TaskDoc]:
    return {one.task_id: one for one in decode(dumps(encode(dag))).tasks}


def edges(dag: DAG) -> set[str]:
    dag.complete()
    return {f"{one.task_id}>{below}" for one in dag.tasks for below in one.downstream_task_ids}


def kinds(dag: DAG) -> dict[str, tuple[bool, bool, bool, str]]:
    docs = stored(dag).items()
    return {name: (d.is_setup, d.is_teardown, d.fails_run, str(d.trigger_rule)) for name, d in docs}


def test_the_decorators_mark_tasks_in_every_form() -> None:
    with DAG("d") as dag:
        create()
        delete()
        teardown(on_failure_fail_dagrun=True)(task.bash(task_id="loud")(lambda: "true"))()
        setup(task(retries=2)(lambda: None)).override(task_id="again")()
        setup(task(task_id="each")(lambda x: x)).expand(x=[1])
    assert kinds(dag) == {
        "create": (True, False, False, "all_success"),
        "delete": (False, True, False, "all_done_setup_success"),
        "loud": (False, True, True, "all_done_setup_success"),
        "again": (True, False, False, "all_success"),
        "each": (True, False, False, "all_success"),
    }
    assert stored(dag)["again"].retries == 2


def test_as_teardown_names_its_setups_and_comes_after_them() -> None:
    with DAG("d") as dag:
        one, two = EmptyOperator(task_id="one"), work.override(task_id="two")()
        down = BashOperator(task_id="down", bash_command="true").as_teardown(
            setups=[one, two], on_failure_fail_dagrun=True
        )
        work().as_setup() >> delete()
    assert edges(dag) == {"one>down", "two>down", "work>delete"}
    assert [name for name, doc in stored(dag).items() if doc.is_setup] == ["one", "two", "work"]
    assert (down.is_teardown, stored(dag)["down"].fails_run) == (True, True)


def test_what_is_made_inside_of_with_runs_between_setup_and_teardown() -> None:
    with DAG("d") as dag:
        with delete(create()):
            first = work()
            first >> work()
        EmptyOperator(task_id="before") >> first
    assert edges(dag) == {"create>delete", "create>work", "work>work__1", "work__1>delete", "before>work"}


def test_a_task_inside_that_has_other_work_above_and_below_outside_still_runs_between() -> None:
    with DAG("d") as dag:
        outside, after = EmptyOperator(task_id="outside"), EmptyOperator(task_id="after")
        with create() as between:
            inside = work()
            outside >> inside >> after
            between.add_task(EmptyOperator(task_id="late", dag=dag))
    assert edges(dag) == {"outside>work", "work>after", "create>work", "create>late"}


def test_with_a_setup_that_has_a_teardown_draws_both_sides() -> None:
    with DAG("d") as dag:
        up = create()
        up >> delete()
        with up:
            work()
    assert edges(dag) == {"create>delete", "create>work", "work>delete"}


def test_one_inside_the_other_the_inner_pair_is_work_of_the_outer() -> None:
    outer_up, outer_down = create.override(task_id="outer_up"), delete.override(task_id="outer_down")
    with DAG("d") as dag, outer_down(outer_up()):
        work.override(task_id="mine")()
        with delete(create()):
            work.override(task_id="inner")()
    assert edges(dag) == {
        "outer_up>outer_down", "outer_up>mine", "mine>outer_down", "create>delete", "create>inner", "inner>delete",
        "outer_up>create", "delete>outer_down",
    }  # fmt: skip


def test_what_comes_after_a_group_does_not_wait_for_its_teardowns() -> None:
    with DAG("d") as dag:
        with TaskGroup("g") as group:
            up = create()
            with delete(up):
                work()
        with TaskGroup("only") as only:
            delete(create())
        group >> EmptyOperator(task_id="next") >> only >> EmptyOperator(task_id="last")
    drawn = edges(dag)
    assert {"g.work>next", "next>only.create", "only.create>last"} <= drawn
    assert not {"g.delete>next", "g.create>next", "only.delete>last"} & drawn


def test_a_mapped_group_may_set_up_and_tear_down_in_each_instance() -> None:
    @task_group
    def each(x: Any) -> None:
        with delete(create()):
            work(x)

    with DAG("d") as dag:
        each.expand(x=[1, 2])
    graph = decode(dumps(encode(dag))).graph()
    assert (graph["each.create"].is_setup, graph["each.delete"].is_teardown) == (True, True)
    assert graph["each.delete"].groups == ("each",)


def test_what_is_no_setup_or_teardown_is_told_so() -> None:
    with DAG("d"):
        with pytest.raises(DagDefinitionError, match="'with' takes a setup or a teardown, and task 'work' is neither"):
            work().__enter__()
        with pytest.raises(DagDefinitionError, match="Task 'create' is a setup already; it cannot be a teardown too"):
            create().as_teardown()
        with pytest.raises(DagDefinitionError, match="Task 'delete' is a teardown already; it cannot be a setup too"):
            delete().as_setup()
    with pytest.raises(DagDefinitionError, match="@setup decorates a task, not the task group 'group'"):

        @setup
        @task_group
        def group() -> None: ...

    with pytest.raises(DagDefinitionError, match="@teardown 'down' has a trigger rule of its own; leave it out"):

        @teardown
        @task(trigger_rule="all_done")
        def down() -> None: ...


def test_work_right_after_a_setup_may_not_run_without_it() -> None:
    with DAG("d") as dag:
        create() >> EmptyOperator(task_id="any", trigger_rule="all_done")
    with pytest.raises(DagDefinitionError, match=r"'any' comes right after the setup 'create', so its .* not all_done"):
        dag.validate()
