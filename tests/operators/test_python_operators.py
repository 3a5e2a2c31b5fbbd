"""Operators that call functions, and branches."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from clockmill import DAG, TaskGroup, task
from clockmill.errors import NotFound, UsageError
from clockmill.operators.branch import BaseBranchOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.operators.python import BranchPythonOperator, PythonOperator, ShortCircuitOperator


class Decisions:
    """A task instance that notes what an operator decides."""

    def __init__(self) -> None:
        self.followed: list[str] | None = None
        self.left_out: str | None = None

    def follow(self, task_ids: list[str]) -> None:
        self.followed = task_ids

    def leave_out(self, which: str) -> None:
        self.left_out = which


def dag_with_group() -> DAG:
    with DAG("x") as dag:
        EmptyOperator(task_id="plain")
        with TaskGroup("group"):
            EmptyOperator(task_id="first") >> EmptyOperator(task_id="second")
    return dag


def test_the_function_is_given_arguments_and_context() -> None:
    def join(a: int, b: int, ds: str, templates_dict: dict[str, str]) -> tuple[object, ...]:
        return a, b, ds, templates_dict["x"]

    made = PythonOperator(
        task_id="a", python_callable=join, op_args=[1], op_kwargs={"b": 2}, templates_dict={"x": "filled"}
    )
    assert made.execute({"ds": "2024-01-01", "run_id": "r"}) == (1, 2, "2024-01-01", "filled")


def test_what_is_returned_is_in_the_log_unless_it_is_not_wanted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    PythonOperator(task_id="a", python_callable=lambda: "x" * 2000).execute({})
    assert "(2002 characters)" in caplog.text
    caplog.clear()
    PythonOperator(task_id="a", python_callable=lambda: "secret", show_return_value_in_logs=False).execute({})
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("choice", "followed"),
    [
        ("plain", ["plain"]),
        (["plain", "group"], ["plain", "group.first"]),
        (("group.second",), ["group.second"]),
        (None, []),
        ([], []),
    ],
)
def test_a_branch_follows_what_the_function_names(choice: Any, followed: list[str]) -> None:
    ti = Decisions()
    made = BranchPythonOperator(task_id="b", python_callable=lambda: choice, dag=dag_with_group())
    assert made.execute({"ti": ti}) == choice
    assert ti.followed == followed


def test_a_branch_to_nowhere_is_answered_with_the_nearest() -> None:
    made = BranchPythonOperator(task_id="b", python_callable=lambda: "plane", dag=dag_with_group())
    with pytest.raises(NotFound, match=r"no task or task group 'plane'\. Did you mean 'plain'"):
        made.execute({"ti": Decisions()})


@pytest.mark.parametrize("choice", [3, ["plain", 3], {"plain": 1, 2: 2}])
def test_a_branch_must_name_tasks(choice: Any) -> None:
    made = BranchPythonOperator(task_id="b", python_callable=lambda: choice, dag=dag_with_group())
    with pytest.raises(UsageError, match="must return a task id, a list of them, or None"):
        made.execute({"ti": Decisions()})


def test_a_branch_of_your_own_defines_its_choice() -> None:
    class Choose(BaseBranchOperator):
        def choose_branch(self, context: Any) -> str:
            return str(context["params"]["way"])

    ti = Decisions()
    Choose(task_id="b", dag=dag_with_group()).execute({"ti": ti, "params": {"way": "group"}})
    assert ti.followed == ["group.first"]
    with pytest.raises(NotImplementedError, match="choose_branch"):
        BaseBranchOperator(task_id="b").execute({})


@pytest.mark.parametrize(
    ("value", "ignore_rules", "left_out"),
    [(1, True, None), (0, True, "downstream"), ("", False, "direct"), (None, True, "downstream")],
)
def test_a_short_circuit_leaves_out_what_is_below(value: Any, ignore_rules: bool, left_out: str | None) -> None:
    ti = Decisions()
    made = ShortCircuitOperator(
        task_id="s", python_callable=lambda: value, ignore_downstream_trigger_rules=ignore_rules
    )
    assert made.execute({"ti": ti}) == value
    assert ti.left_out == left_out


def test_decorators_make_the_operators_of_their_name() -> None:
    with DAG("x") as dag:

        @task.python
        def plain() -> None: ...

        @task.branch
        def choose() -> str:
            return "plain"

        @task.short_circuit(ignore_downstream_trigger_rules=False)
        def stop() -> bool:
            return False

        choose() >> plain()
        stop()
    assert [one.task_type for one in dag.tasks] == ["BranchPythonOperator", "PythonOperator", "ShortCircuitOperator"]
    ti = Decisions()
    dag.get_task("stop").execute({"ti": ti})
    assert ti.left_out == "direct"
