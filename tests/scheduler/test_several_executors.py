"""Executors side by side: each task goes to the one that it names, and one that is full holds nobody else back."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from clockmill import DAG
from clockmill.actions.explain import explain
from clockmill.operators.bash import BashOperator
from clockmill.scheduler.service import SchedulerService
from clockmill.state import TaskState
from clockmill.storage import tables
from clockmill.testing.executor import ScriptedExecutor
from tests.mill import SilentListener


class Pair:
    """The scheduler of a mill with a second executor beside its own, the default."""

    def __init__(self, mill) -> None:
        self.mill = mill
        mill.executor = self.default = ScriptedExecutor(mill.clock, slots=1, supervisor_id="supervisor-of-default")
        self.other = ScriptedExecutor(mill.clock, slots=2, supervisor_id="supervisor-of-other")
        self.begin()

    def begin(self) -> None:
        """Begin again as after a crash of the scheduler."""
        mill = self.mill
        mill.listener = SilentListener()
        executors = {"default": self.default, "other": self.other}
        mill.service = SchedulerService(mill.open_database(), mill.clock, mill.settings, executors, mill.listener)
        mill.service.start()
        mill.services.append(mill.service)

    def attempts(self) -> dict[str, str]:
        """The executor in the newest attempt of each task."""
        attempt, task = tables.attempt.c, tables.task_instance.c
        query = select(task.task_id, attempt.executor).where(task.id == attempt.task_instance_id).order_by(attempt.id)
        return dict(self.mill.db.read(lambda c: [tuple(row) for row in c.execute(query)]))


@pytest.fixture
def pair(mill) -> Pair:
    return Pair(mill)


def wide_dag(**executors: str | None) -> DAG:
    with DAG("d", schedule=None) as dag:
        for task_id, name in executors.items():
            BashOperator(task_id=task_id, bash_command="true", executor=name)
    return dag


def test_each_task_goes_to_the_executor_that_it_names_and_the_rest_to_the_first(mill, pair) -> None:
    mill.add(wide_dag(a=None, b="other", c="other"))
    mill.trigger("d")
    assert (pair.default.running(), sorted(pair.other.running())) == (["a"], ["b", "c"])
    assert pair.attempts() == {"a": "default", "b": "other", "c": "other"}


def test_a_dag_says_for_its_tasks_where_they_go(mill, pair) -> None:
    with DAG("d", schedule=None, executor="other") as dag:
        BashOperator(task_id="a", bash_command="true")
        BashOperator(task_id="b", bash_command="true", executor="default")
    mill.add(dag)
    mill.trigger("d")
    assert (pair.default.running(), pair.other.running()) == (["b"], ["a"])


@pytest.mark.parametrize(("full", "free"), [(None, "other"), ("other", None)])
def test_an_executor_that_is_full_holds_back_nobody_of_another(mill, pair, full, free) -> None:
    many = {f"full{number:02}": full for number in range(20)}
    mill.add(wide_dag(**many, last=free))
    mill.trigger("d")
    open_executor = pair.other if free else pair.default
    full_executor = pair.default if free else pair.other
    assert open_executor.running() == ["last"]
    assert len(full_executor.running()) == full_executor.info.slots


def test_an_executor_that_loses_its_supervisor_keeps_the_tasks_of_the_others(mill, pair) -> None:
    mill.add(wide_dag(a=None, b="other"))
    mill.trigger("d")
    pair.other.die("supervisor-after-other")
    mill.pump()
    assert (len(pair.default.submissions), len(pair.other.submissions)) == (1, 2), "b alone was begun again"
    assert mill.row("d", "a").crashes == 0 and mill.row("d", "b").crashes == 1


def test_what_runs_is_found_again_by_the_next_scheduler_in_each_executor(mill, pair) -> None:
    mill.add(wide_dag(a=None, b="other"))
    mill.trigger("d")
    pair.begin()
    pair.other.finish("b")
    pair.default.finish("a")
    mill.pump()
    assert set(mill.states("d").values()) == {TaskState.SUCCESS}
    assert not pair.default.unacknowledged and not pair.other.unacknowledged
    assert (len(pair.default.submissions), len(pair.other.submissions)) == (1, 1)


def test_why_names_the_executor_whose_slots_are_taken(mill, pair) -> None:
    mill.add(wide_dag(a=None, b=None, c="other"))
    mill.trigger("d")
    waiting = next(each for each, state in mill.states("d").items() if state is TaskState.SCHEDULED)
    told = mill.db.read(lambda c: explain(c, "d", "r1", waiting, default_executor="default"))
    assert told.verdict == "Every slot of the executor 'default' is taken: 1 of 1."
