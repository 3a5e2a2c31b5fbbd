"""What all operators have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from clockmill import DAG, BaseOperator, TriggerRule
from clockmill.errors import DagDefinitionError
from clockmill.model.arguments import OPERATOR_CHECKS
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.operators.python import PythonOperator


class Copy(BaseOperator):
    """An operator as somebody else writes one."""

    template_fields = ("source", "target")

    def __init__(self, source: str, target: str = "out", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source, self.target = source, target

    def execute(self, context: Any) -> str:
        return f"{self.source} to {self.target}"


class CopyTwice(Copy):
    """One that goes on from another."""

    def __init__(self, *, again: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.again = again


def test_every_argument_that_operators_of_airflow_take_is_known() -> None:
    names = """task_id owner email email_on_retry email_on_failure retries retry_delay retry_exponential_backoff
        max_retry_delay retry_policy start_date end_date depends_on_past ignore_first_depends_on_past
        wait_for_past_depends_before_skipping wait_for_downstream dag params default_args priority_weight weight_rule
        queue pool pool_slots sla execution_timeout on_execute_callback on_failure_callback on_success_callback
        on_retry_callback on_skipped_callback pre_execute post_execute trigger_rule resources run_as_user
        map_index_template max_active_tis_per_dag max_active_tis_per_dagrun executor executor_config do_xcom_push
        multiple_outputs inlets outlets task_group doc doc_md doc_json doc_yaml doc_rst task_display_name logger_name
        allow_nested_operators render_template_as_native_obj"""
    ours = {"deadline", "on_deadline_missed_callback", "retry_jitter"}
    assert set(names.split()) | ours == set(OPERATOR_CHECKS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BashOperator(task_id="a", bash_comand="x"), "no argument 'bash_comand'. Did you mean 'bash_command'"),
        (lambda: BashOperator(task_id="a"), "BashOperator 'a': the argument 'bash_command' is missing."),
        (lambda: EmptyOperator(), "A task id must be a non-empty string, not None"),
        (lambda: EmptyOperator("a"), "arguments are given by name, not by position ('a')"),
        (lambda: EmptyOperator(task_id="a/b"), "The task id 'a/b' may hold only"),
        (lambda: EmptyOperator(task_id="x" * 300), "has 300 characters"),
        (lambda: PythonOperator(task_id="a", python_callable=3), "python_callable must be a function, not 3"),
        (lambda: PythonOperator(task_id="a", python_callable=print, provide_context=True), "Leave it out"),
        (lambda: EmptyOperator(task_id="a", task_concurrency=1), "It is called 'max_active_tis_per_dag' now."),
        (lambda: EmptyOperator(task_id="a", retries=-1), "EmptyOperator 'a': retries must be a whole number of at"),
        (lambda: EmptyOperator(task_id="a", retries="3"), "retries must be a whole number of at least 0, not '3'"),
        (lambda: EmptyOperator(task_id="a", retry_delay="1h"), "retry_delay must be a timedelta or a number"),
        (
            lambda: EmptyOperator(task_id="a", trigger_rule="all_sucess"),
            "not 'all_sucess'; perhaps you mean 'all_success'",
        ),
        (lambda: EmptyOperator(task_id="a", weight_rule="sideways"), "must be one of downstream, upstream, absolute"),
        (lambda: EmptyOperator(task_id="a", pool_slots=0), "pool_slots must be a whole number of at least 1"),
        (lambda: EmptyOperator(task_id="a", retry_exponential_backoff=0.5), "number of at least 1, not 0.5"),
        (lambda: EmptyOperator(task_id="a", executor_config=[1]), "executor_config must be a dictionary"),
        (lambda: EmptyOperator(task_id="a", on_success_callback=[3]), "must be a function or a list of functions"),
        (lambda: EmptyOperator(task_id="a", do_xcom_push=None), "do_xcom_push must be True or False"),
        (lambda: Copy(task_id="a"), "the argument 'source' is missing"),
        (lambda: CopyTwice(task_id="a", source="x"), "the argument 'again' is missing"),
        (lambda: CopyTwice(task_id="a", source="x", again="y", traget="z"), "Did you mean 'target'"),
    ],
)
def test_wrong_arguments_are_refused_with_advice(make: Callable[[], object], message: str) -> None:
    with pytest.raises(DagDefinitionError) as refused:
        make()
    assert message in str(refused.value)


def test_values_are_kept_in_one_form() -> None:
    made = EmptyOperator(
        task_id="a",
        retry_delay=90,
        execution_timeout=timedelta(hours=1),
        trigger_rule="none_failed",
        on_failure_callback=print,
        retries=None,
        pool=None,
        email="a@example.org",
    )
    assert made.retry_delay == timedelta(seconds=90)
    assert made.trigger_rule is TriggerRule.NONE_FAILED
    assert made.on_failure_callback == (print,)
    assert (made.retries, made.pool, made.email) == (0, "default_pool", ("a@example.org",))


def test_an_sla_is_taken_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="sla has no effect"):
        EmptyOperator(task_id="a", sla=timedelta(hours=1))


def test_default_args_reach_operators_of_others_through_all_their_classes() -> None:
    with DAG("x", default_args={"source": "in", "again": "more", "retries": 2}) as dag:
        made = CopyTwice(task_id="a")
    assert (made.source, made.target, made.again, made.retries, made.dag) == ("in", "out", "more", 2, dag)


def test_a_class_that_settles_an_argument_itself_is_not_disturbed_by_default_args() -> None:
    class Fixed(Copy):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__("fixed", **kwargs)

    with DAG("x", default_args={"source": "default", "target": "there"}):
        made = Fixed(task_id="a")
    assert (made.source, made.target) == ("fixed", "there")


def test_default_args_reach_a_class_that_hands_nothing_on() -> None:
    class Closed(BaseOperator):
        def __init__(self, task_id: str) -> None:
            super().__init__(task_id=task_id, pool="own")

    with DAG("x", default_args={"retries": 2, "pool": "default"}):
        made = Closed(task_id="a")
    assert (made.retries, made.pool) == (2, "own")
    with pytest.raises(DagDefinitionError, match="there is no argument 'retries'"):
        Closed(task_id="b", retries=1)  # type: ignore[call-arg]


def test_an_operator_of_others_takes_outputs_in_its_template_fields() -> None:
    with DAG("x"):
        first = Copy(task_id="first", source="a")
        second = Copy(task_id="second", source=first.output)
    assert second.upstream_task_ids == {"first"}


def test_hooks_can_be_methods_or_arguments() -> None:
    seen: list[Any] = []
    made = EmptyOperator(
        task_id="a", pre_execute=lambda context: seen.append("before"), post_execute=lambda context, r: seen.append(r)
    )
    made.pre_execute({})
    made.post_execute({}, "after")
    assert seen == ["before", "after"]


def test_an_empty_operator_needs_no_process_unless_somebody_listens() -> None:
    assert EmptyOperator(task_id="a").is_empty
    assert not EmptyOperator(task_id="a", on_success_callback=print).is_empty
    assert not EmptyOperator(task_id="a", pre_execute=print).is_empty
    assert not BashOperator(task_id="a", bash_command="true").is_empty


def test_an_empty_operator_that_was_taught_to_do_something_does_it() -> None:
    class Busy(EmptyOperator):
        def execute(self, context: Any) -> None: ...

    class Named(EmptyOperator):
        """Does nothing, under another name."""

    assert not Busy(task_id="a").is_empty
    assert Named(task_id="a").is_empty


def test_an_operator_is_given_its_dag_later() -> None:
    made, dag = EmptyOperator(task_id="a"), DAG("x")
    assert made.dag_id is None
    made.dag = dag
    assert (made.dag_id, dag.task_ids) == ("x", ["a"])
    with pytest.raises(DagDefinitionError, match="belongs to DAG 'x' already"):
        made.dag = DAG("y")


def test_an_operator_without_execute_says_so() -> None:
    with pytest.raises(NotImplementedError, match="BaseOperator has no method execute"):
        BaseOperator(task_id="a").execute({})


@pytest.mark.parametrize("name", ["", "a,b", " a", "a\n", "a\nb", "a\x00", "q" * 181, "é" * 91])
def test_a_queue_that_no_worker_could_serve_is_refused(name: str) -> None:
    with pytest.raises(DagDefinitionError, match="queue must be a name"):
        EmptyOperator(task_id="a", queue=name)


@pytest.mark.parametrize("name", ["large", "a b", "x/y", "é" * 90, "q" * 180])
def test_any_other_name_of_a_queue_is_taken(name: str) -> None:
    assert EmptyOperator(task_id="a", queue=name).queue == name
