"""The arguments of DAGs, operators and task groups: their names, their types for authors, and their checks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypedDict

from clockmill.errors import DagDefinitionError
from clockmill.model import checks
from clockmill.model.weights import PriorityWeightStrategy, weight_rule
from clockmill.state import RunType
from clockmill.state.resources import parse as parse_resources
from clockmill.state.rules import TriggerRule

if TYPE_CHECKING:
    from clockmill.model.dag import DAG
    from clockmill.model.group import TaskGroup

Moment = datetime | date | str
Duration = timedelta | float
Callback = Callable[..., Any]
Callbacks = Callback | list[Callback] | None


class Overlap(StrEnum):
    """What becomes of a scheduled run that is due while another run of its DAG is active."""

    QUEUE = "queue"  #: it is made, and begins as ``max_active_runs`` allows
    SKIP = "skip"  #: it is not made; an event says why
    CANCEL = "cancel"  #: it is made, and the older scheduled runs are ended as failed


class DagArguments(TypedDict, total=False):
    """What ``DAG()`` and ``@dag`` take beside ``dag_id``."""

    description: str | None
    schedule: Any
    schedule_interval: Any
    timezone: str | tzinfo | None
    start_date: Moment | None
    end_date: Moment | None
    template_searchpath: str | list[str] | None
    template_undefined: type | None
    user_defined_macros: dict[str, Any] | None
    user_defined_filters: dict[str, Any] | None
    default_args: Mapping[str, Any] | None
    executor: str | None
    max_active_tasks: int | None
    max_active_runs: int | None
    max_consecutive_failed_dag_runs: int
    dagrun_timeout: Duration | None
    deadline: Any
    sla_miss_callback: Any
    catchup: bool
    overlap: str
    on_success_callback: Callbacks
    on_failure_callback: Callbacks
    doc_md: str | None
    params: Mapping[str, Any] | None
    access_control: Mapping[str, Any] | None
    is_paused_upon_creation: bool | None
    jinja_environment_kwargs: dict[str, Any] | None
    render_template_as_native_obj: bool
    tags: Iterable[str] | None
    owner_links: dict[str, str] | None
    auto_register: bool
    fail_fast: bool
    allowed_run_types: Any
    dag_display_name: str | None
    disable_bundle_versioning: bool
    rerun_with_latest_version: bool | None
    reparse: Duration | None


def _deadlines(value: Any) -> Any:
    from clockmill.model.deadlines import deadline_alerts

    return deadline_alerts(value)


def _retry_policy(value: Any) -> Any:
    if isinstance(value, type) or not callable(getattr(value, "evaluate", None)):
        raise ValueError(f"must be a RetryPolicy, such as ExceptionRetryPolicy(rules=[...]), not {value!r}")
    return value


DAG_CHECKS: dict[str, checks.Check] = {
    "description": checks.optional(checks.text),
    "schedule": checks.anything,
    "timezone": checks.anything,
    "start_date": checks.optional(checks.moment),
    "end_date": checks.optional(checks.moment),
    "template_searchpath": checks.optional(checks.paths),
    "template_undefined": checks.anything,
    "user_defined_macros": checks.optional(checks.mapping),
    "user_defined_filters": checks.optional(checks.mapping),
    "default_args": checks.optional(checks.mapping),
    "executor": checks.optional(checks.text),
    "max_active_tasks": checks.optional(checks.whole(1)),
    "max_active_runs": checks.optional(checks.whole(1)),
    "max_consecutive_failed_dag_runs": checks.whole(0),
    "dagrun_timeout": checks.optional(checks.duration),
    "deadline": checks.optional(_deadlines),
    "sla_miss_callback": checks.anything,
    "catchup": checks.flag,
    "overlap": checks.one_of(Overlap),
    "on_success_callback": checks.optional(checks.callbacks),
    "on_failure_callback": checks.optional(checks.callbacks),
    "doc_md": checks.optional(checks.text),
    "params": checks.optional(checks.mapping),
    "access_control": checks.optional(checks.mapping),
    "is_paused_upon_creation": checks.optional(checks.flag),
    "jinja_environment_kwargs": checks.optional(checks.mapping),
    "render_template_as_native_obj": checks.flag,
    "tags": checks.optional(checks.strings),
    "owner_links": checks.optional(checks.mapping),
    "auto_register": checks.flag,
    "fail_fast": checks.flag,
    "allowed_run_types": checks.optional(checks.some_of(RunType)),
    "dag_display_name": checks.optional(checks.text),
    "disable_bundle_versioning": checks.flag,
    "rerun_with_latest_version": checks.optional(checks.flag),
    "reparse": checks.optional(checks.duration),
}

GONE_FROM_DAG = {
    "timetable": "Give the timetable as 'schedule'.",
    "concurrency": "It is called 'max_active_tasks' now.",
    "fail_stop": "It is called 'fail_fast' now.",
    "default_view": "The web pages do not need it; leave it out.",
    "orientation": "The web pages do not need it; leave it out.",
}


class OperatorArguments(TypedDict, total=False):
    """What every operator takes beside its own arguments."""

    task_id: str
    owner: str
    email: str | Iterable[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: Duration
    retry_exponential_backoff: bool | float
    max_retry_delay: Duration | None
    retry_jitter: float
    retry_policy: Any
    start_date: Moment | None
    end_date: Moment | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: DAG | None
    params: Mapping[str, Any] | None
    default_args: Mapping[str, Any] | None
    priority_weight: int
    weight_rule: str | PriorityWeightStrategy | type[PriorityWeightStrategy]
    queue: str
    pool: str | None
    pool_slots: int
    sla: Any
    execution_timeout: Duration | None
    deadline: Duration | None
    on_deadline_missed_callback: Callbacks
    on_execute_callback: Callbacks
    on_failure_callback: Callbacks
    on_success_callback: Callbacks
    on_retry_callback: Callbacks
    on_skipped_callback: Callbacks
    pre_execute: Callback | None
    post_execute: Callback | None
    trigger_rule: str
    resources: Mapping[str, Any] | None
    run_as_user: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: Mapping[str, Any] | None
    do_xcom_push: bool
    multiple_outputs: bool
    inlets: Any
    outlets: Any
    task_group: TaskGroup | None
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None


OPERATOR_CHECKS: dict[str, checks.Check] = {
    "task_id": checks.anything,
    "owner": checks.text,
    "email": checks.optional(checks.strings),
    "email_on_retry": checks.flag,
    "email_on_failure": checks.flag,
    "retries": lambda value: checks.whole(0)(value or 0),
    "retry_delay": checks.duration,
    "retry_exponential_backoff": checks.backoff,
    "max_retry_delay": checks.optional(checks.duration),
    "retry_jitter": checks.part,
    "retry_policy": checks.optional(_retry_policy),
    "start_date": checks.optional(checks.moment),
    "end_date": checks.optional(checks.moment),
    "depends_on_past": checks.flag,
    "ignore_first_depends_on_past": checks.flag,
    "wait_for_past_depends_before_skipping": checks.flag,
    "wait_for_downstream": checks.flag,
    "dag": checks.anything,
    "params": checks.optional(checks.mapping),
    "default_args": checks.optional(checks.mapping),
    "priority_weight": checks.whole(),
    "weight_rule": weight_rule,
    "queue": checks.queue,
    "pool": lambda value: "default_pool" if value is None else checks.text(value),
    "pool_slots": checks.whole(1),
    "sla": checks.anything,
    "execution_timeout": checks.optional(checks.duration),
    "deadline": checks.optional(checks.duration),
    "on_deadline_missed_callback": checks.optional(checks.callbacks),
    "on_execute_callback": checks.optional(checks.callbacks),
    "on_failure_callback": checks.optional(checks.callbacks),
    "on_success_callback": checks.optional(checks.callbacks),
    "on_retry_callback": checks.optional(checks.callbacks),
    "on_skipped_callback": checks.optional(checks.callbacks),
    "pre_execute": checks.optional(checks.function),
    "post_execute": checks.optional(checks.function),
    "trigger_rule": checks.one_of(TriggerRule),
    "resources": checks.optional(parse_resources),
    "run_as_user": checks.optional(checks.text),
    "map_index_template": checks.optional(checks.text),
    "max_active_tis_per_dag": checks.optional(checks.whole(1)),
    "max_active_tis_per_dagrun": checks.optional(checks.whole(1)),
    "executor": checks.optional(checks.text),
    "executor_config": lambda value: checks.mapping(value or {}),
    "do_xcom_push": checks.flag,
    "multiple_outputs": checks.flag,
    "inlets": checks.optional(checks.sequence),
    "outlets": checks.optional(checks.sequence),
    "task_group": checks.anything,
    "doc": checks.optional(checks.text),
    "doc_md": checks.optional(checks.text),
    "doc_json": checks.optional(checks.text),
    "doc_yaml": checks.optional(checks.text),
    "doc_rst": checks.optional(checks.text),
    "task_display_name": checks.optional(checks.text),
    "logger_name": checks.optional(checks.text),
    "allow_nested_operators": checks.flag,
    "render_template_as_native_obj": checks.optional(checks.flag),
}

GONE_FROM_OPERATORS = {
    "provide_context": "Leave it out: a function is given what its parameters name, or everything by **context.",
    "task_concurrency": "It is called 'max_active_tis_per_dag' now.",
    "xcom_push": "It is called 'do_xcom_push' now.",
    "execution_date": "It is called 'logical_date' now.",
}


def warn_ignored(owner: str, name: str) -> None:
    """Warn that an argument of old has no effect any more."""
    warnings.warn(f"{owner}: {name} has no effect; deadline alerts take the place of SLAs.", UserWarning, stacklevel=4)


def modern_arguments(owner: str, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a DAG under their present names; what is old is warned of.

    :raises DagDefinitionError: when one is unknown.
    """
    if "schedule_interval" in given:
        if "schedule" in given:
            raise DagDefinitionError(f"{owner}: give schedule alone; schedule_interval is its old name.")
        warnings.warn(f"{owner}: schedule_interval is called 'schedule' now.", DeprecationWarning, stacklevel=3)
        given["schedule"] = given.pop("schedule_interval")
    checks.refuse_unknown(owner, given, DAG_CHECKS, GONE_FROM_DAG)
    if given.pop("sla_miss_callback", None) is not None:
        warn_ignored(owner, "sla_miss_callback")
    return given
