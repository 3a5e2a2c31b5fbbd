"""DAGs: how they are made, what they refuse, and what they know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from clockmill import DAG, BaseOperator, Param, PriorityWeightStrategy, dag, task
from clockmill.errors import DagDefinitionError, NotFound
from clockmill.model.arguments import DAG_CHECKS, OPERATOR_CHECKS, DagArguments, OperatorArguments
from clockmill.model.xcom_arg import ParamReference
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator

NAIVE = datetime.fromisoformat("2024-07-01")


def test_tasks_made_inside_the_with_statement_belong_to_the_dag() -> None:
    with DAG("sales") as sales:
        EmptyOperator(task_id="inside")
    outside = EmptyOperator(task_id="outside")
    assert sales.task_ids == ["inside"]
    assert outside.dag is None


def test_a_plain_dag_is_given_to_its_tasks() -> None:
    sales = DAG("sales")
    load = EmptyOperator(task_id="load", dag=sales)
    assert sales.get_task("load") is load


def test_of_nested_with_statements_the_innermost_dag_gets_the_task() -> None:
    with DAG("outer") as outer:
        with DAG("inner") as inner:
            EmptyOperator(task_id="a")
        EmptyOperator(task_id="b")
    assert (outer.task_ids, inner.task_ids) == (["b"], ["a"])


def test_a_decorated_function_is_a_dag_named_after_it() -> None:
    @dag(schedule="@daily", tags=["x"])
    def nightly() -> None:
        """Loads the day."""
        EmptyOperator(task_id="load")

    made = nightly()
    assert (made.dag_id, made.doc_md, made.task_ids, made.tags) == ("nightly", "Loads the day.", ["load"], ("x",))


def test_a_bare_dag_decorator_and_one_with_an_id_work_alike() -> None:
    @dag
    def first() -> None: ...

    @dag("second")
    def other() -> None: ...

    assert [first().dag_id, other().dag_id] == ["first", "second"]


def test_parameters_of_the_decorated_function_are_parameters_of_the_dag() -> None:
    seen = {}

    @dag
    def report(day: str, limit: int = 5) -> None:
        seen.update(day=day, limit=limit)

    made = report("monday")
    assert {name: param.default for name, param in made.params.items()} == {"day": "monday", "limit": 5}
    assert all(isinstance(value, ParamReference) for value in seen.values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shedule": "@daily"}, "DAG 'x': there is no argument 'shedule'. Did you mean 'schedule'?"),
        ({"concurrency": 3}, "It is called 'max_active_tasks' now."),
        ({"timetable": None}, "Give the timetable as 'schedule'."),
        ({"catchup": 1}, "DAG 'x': catchup must be True or False, not 1."),
        ({"max_active_runs": 0}, "max_active_runs must be a whole number of at least 1, not 0."),
        ({"max_active_runs": 2**31}, "max_active_runs must be a whole number of at most 2147483647"),
        ({"dagrun_timeout": timedelta(-1)}, "dagrun_timeout must be a timedelta"),
        ({"dagrun_timeout": timedelta.max}, "dagrun_timeout must be at most 36525 days"),
        ({"dagrun_timeout": float("nan")}, "dagrun_timeout must be at most 36525 days, not nan seconds"),
        ({"start_date": "yesterday"}, "start_date must be a datetime or ISO 8601 text, not 'yesterday'."),
        ({"tags": [1]}, "tags must be a list of strings"),
        ({"timezone": "Europe/Zurick"}, "Did you mean 'Europe/Zurich'?"),
        ({"start_date": "2024-02-01", "end_date": "2024-01-01"}, "end_date must not be before"),
        ({"params": {1: 2}}, "params must be a dictionary with string keys"),
        ({"default_args": [1]}, "default_args must be a dictionary with string keys"),
        ({"on_failure_callback": "mail me"}, "on_failure_callback must be a function or a list of functions"),
    ],
)
def test_wrong_arguments_are_refused_with_advice(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(DagDefinitionError) as refused:
        DAG("x", **wrong)  # type: ignore[arg-type]
    assert message in str(refused.value)


@pytest.mark.parametrize("dag_id", ["", "a/b", "../x", "x" * 251, ".hidden", 3, None, "a b"])
def test_impossible_ids_are_refused(dag_id: object) -> None:
    with pytest.raises(DagDefinitionError, match="DAG id"):
        DAG(dag_id)  # type: ignore[arg-type]


def test_every_argument_that_dags_of_airflow_take_is_known() -> None:
    names = """description schedule start_date end_date template_searchpath template_undefined user_defined_macros
        user_defined_filters default_args max_active_tasks max_active_runs max_consecutive_failed_dag_runs
        dagrun_timeout deadline sla_miss_callback catchup on_success_callback on_failure_callback doc_md params
        access_control is_paused_upon_creation jinja_environment_kwargs render_template_as_native_obj tags owner_links
        auto_register fail_fast allowed_run_types dag_display_name disable_bundle_versioning
        rerun_with_latest_version"""
    assert set(names.split()) <= set(DAG_CHECKS)


def test_the_typed_arguments_are_those_that_are_checked() -> None:
    assert set(DagArguments.__annotations__) - {"schedule_interval"} == set(DAG_CHECKS)
    assert set(OperatorArguments.__annotations__) == set(OPERATOR_CHECKS)


def test_every_checked_argument_is_kept_as_an_attribute() -> None:
    made = DAG("x")
    assert [name for name in DAG_CHECKS if name != "sla_miss_callback" and not hasattr(made, name)] == []
    operator = EmptyOperator(task_id="x")
    assert [name for name in OPERATOR_CHECKS if name != "default_args" and not hasattr(operator, name)] == []


def test_schedule_interval_is_the_old_name_of_schedule() -> None:
    with pytest.warns(DeprecationWarning, match="schedule_interval is called 'schedule' now"):
        old = DAG("x", schedule_interval="@daily")
    assert old.schedule == "@daily"
    with pytest.raises(DagDefinitionError, match="give schedule alone"):
        DAG("x", schedule="@daily", schedule_interval="@daily")


def test_sla_callbacks_are_taken_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="sla_miss_callback has no effect"):
        DAG("x", sla_miss_callback=print)


def test_naive_times_are_in_the_zone_of_the_dag() -> None:
    zurich = DAG("x", start_date=NAIVE, timezone="Europe/Zurich")
    assert zurich.start_date == datetime(2024, 6, 30, 22, tzinfo=UTC)
    assert DAG("y", start_date=NAIVE).start_date == datetime(2024, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        (ZoneInfo("America/New_York"), "America/New_York"),
        (UTC, "UTC"),
        (timezone(timedelta(hours=2)), "Etc/GMT-2"),
        (timezone(timedelta(hours=-5)), "Etc/GMT+5"),
    ],
)
def test_the_zone_of_an_aware_start_date_is_that_of_the_dag(zone: timezone, name: str) -> None:
    made = DAG("x", start_date=datetime(2024, 7, 1, tzinfo=zone))
    assert made.timezone == name
    assert made.aware(NAIVE) == datetime(2024, 7, 1, tzinfo=zone)


def test_a_zone_without_a_name_is_refused() -> None:
    with pytest.raises(DagDefinitionError, match="has no name"):
        DAG("x", start_date=datetime(2024, 1, 1, tzinfo=timezone(timedelta(minutes=330))))


def test_default_args_give_the_start_date_to_dag_and_tasks() -> None:
    with DAG("x", default_args={"start_date": "2024-01-01"}) as made:
        a = EmptyOperator(task_id="a")
    assert made.start_date == a.start_date == datetime(2024, 1, 1, tzinfo=UTC)


def test_default_args_reach_the_arguments_of_every_operator_class() -> None:
    with DAG("x", default_args={"retries": 3, "bash_command": "true", "owner": "ops"}):
        a, b = BashOperator(task_id="a"), BashOperator(task_id="b", retries=0)
        c = EmptyOperator(task_id="c")
    assert (a.bash_command, a.retries, b.retries, c.owner) == ("true", 3, 0, "ops")


def test_default_args_that_no_operator_takes_are_warned_of() -> None:
    with DAG("x", default_args={"retrys": 3, "bash_command": "true"}) as made:
        BashOperator(task_id="a")
    with pytest.warns(UserWarning, match=r"no operator takes 'retrys'.*Did you mean 'retries'"):
        made.validate()


def test_arguments_of_the_dag_in_default_args_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="no operator takes 'catchup'.* It is an argument of the DAG"):
        DAG("x", default_args={"catchup": True}).validate()


def test_documentation_is_a_text_or_the_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "about.md").write_text("# About")
    assert DAG("x", doc_md="read.me").doc_md == "read.me"
    assert DAG("x", doc_md=str(tmp_path / "about.md")).doc_md == "# About"
    with pytest.raises(DagDefinitionError, match="doc_md names a file that cannot be read"):
        DAG("x", doc_md="gone.md")


def test_a_task_id_is_taken_once() -> None:
    with DAG("x"):
        EmptyOperator(task_id="a")
        with pytest.raises(DagDefinitionError, match="has a task 'a' already"):
            EmptyOperator(task_id="a")


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    with DAG("x") as made:
        EmptyOperator(task_id="extract")
    with pytest.raises(NotFound, match="Did you mean 'extract'"):
        made.get_task("extrct")


def test_tasks_are_sorted_by_their_dependencies() -> None:
    with DAG("x") as made:
        c, a, b = (EmptyOperator(task_id=name) for name in "cab")
        a >> b >> c
    assert [one.task_id for one in made.topological_sort()] == ["a", "b", "c"]
    assert [one.task_id for one in made.roots + made.leaves] == ["a", "c"]


def test_a_cycle_is_refused_by_name() -> None:
    with DAG("x") as made:
        start, a, b, c, end = (EmptyOperator(task_id=name) for name in ("start", "a", "b", "c", "end"))
        start >> a >> b >> c >> end
        c >> a
    with pytest.raises(DagDefinitionError, match="has a cycle: a -> b -> c -> a"):
        made.validate()


def test_a_task_after_itself_is_a_cycle() -> None:
    with DAG("x") as made:
        a = EmptyOperator(task_id="a")
        a >> a
    with pytest.raises(DagDefinitionError, match="a -> a"):
        made.topological_sort()


def test_a_schedule_that_means_nothing_is_refused() -> None:
    with pytest.raises(DagDefinitionError, match="61"):
        DAG("x", schedule="61 * * * *").validate()


def test_a_continuous_dag_has_one_run_at_a_time() -> None:
    with pytest.raises(DagDefinitionError, match="max_active_runs=1"):
        DAG("x", schedule="@continuous").validate()
    DAG("x", schedule="@continuous", max_active_runs=1).validate()


def test_a_scheduled_dag_needs_defaults_for_its_params() -> None:
    DAG("x", params={"day": Param(type="string")}).validate()
    with pytest.raises(DagDefinitionError, match="day: needs a default, because the DAG has a schedule"):
        DAG("x", schedule="@daily", params={"day": Param(type="string")}).validate()


def test_params_in_default_args_are_params_of_the_dag() -> None:
    made = DAG("x", default_args={"params": {"a": 1, "b": 2}}, params={"b": 3})
    assert {name: param.default for name, param in made.params.items()} == {"a": 1, "b": 3}


def test_the_owners_of_the_tasks_own_the_dag() -> None:
    with DAG("x") as made:
        for number, owner in enumerate(["ops", "data", "ops"]):
            EmptyOperator(task_id=f"t{number}", owner=owner)
    assert made.owner == "data, ops"


def test_weights_sum_up_what_is_below_or_above() -> None:
    with DAG("x") as made:
        a, b, c, d = (EmptyOperator(task_id=name, priority_weight=number) for number, name in enumerate("abcd", 1))
        a >> [b, c] >> d
        up = EmptyOperator(task_id="up", weight_rule="upstream", priority_weight=10)
        alone = EmptyOperator(task_id="alone", weight_rule="absolute", priority_weight=7)
        d >> [up, alone]
    assert made.weights() == {"a": 27, "b": 23, "c": 24, "d": 21, "up": 20, "alone": 7}


def test_a_weight_fits_into_32_bits() -> None:
    with DAG("x") as made:
        a, b = (EmptyOperator(task_id=name, priority_weight=2**31 - 1) for name in "ab")
        a >> b
    assert made.weights()["a"] == 2**31 - 1


def test_an_operator_without_dag_joins_that_of_its_neighbour() -> None:
    made = DAG("x")
    a = EmptyOperator(task_id="a", dag=made)
    b: BaseOperator = EmptyOperator(task_id="b")
    a >> b
    assert b.dag is made
    assert made.task_ids == ["a", "b"]


def test_tasks_of_two_dags_cannot_be_linked() -> None:
    a, b = EmptyOperator(task_id="a", dag=DAG("x")), EmptyOperator(task_id="b", dag=DAG("y"))
    with pytest.raises(DagDefinitionError, match="an edge stays within one DAG"):
        a >> b


def test_the_dag_knows_where_it_was_written() -> None:
    made = DAG("x")
    assert made.fileloc == __file__
    assert made.line


def test_functions_can_be_added_to_a_dag_that_is_not_open() -> None:
    made = DAG("x")

    @task(dag=made)
    def load() -> None: ...

    load()
    load()
    assert made.task_ids == ["load", "load__1"]


class Widest(PriorityWeightStrategy):
    """Ten for each task directly below."""

    def get_weight(self, ti):
        return 10 * len(ti.task.downstream_task_ids) + ti.task.priority_weight + ti.try_number


class Nonsense(PriorityWeightStrategy):
    def get_weight(self, ti):
        return "high"


@pytest.mark.parametrize("rule", [Widest, Widest()])
def test_a_strategy_of_the_authors_own_gives_the_priority(rule) -> None:
    with DAG("d") as dag:
        first = EmptyOperator(task_id="first", weight_rule=rule, priority_weight=5)
        first >> [EmptyOperator(task_id="a"), EmptyOperator(task_id="b", weight_rule=rule)]
    assert dag.weights() == {"first": 26, "a": 1, "b": 2}


def test_a_strategy_must_give_a_whole_number() -> None:
    with DAG("d") as dag:
        EmptyOperator(task_id="a", weight_rule=Nonsense)
    with pytest.raises(DagDefinitionError, match=r"Nonsense\.get_weight of task 'a' must give a whole number"):
        dag.weights()
