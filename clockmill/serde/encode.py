"""From a DAG to its document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from clockmill.clock import iso_or_none
from clockmill.errors import SerializationError
from clockmill.model.dag import DAG
from clockmill.model.operator import BaseOperator
from clockmill.model.param import Param
from clockmill.serde.document import SCHEMA_VERSION
from clockmill.serde.shorten import shorten


def encode(dag: DAG) -> dict[str, Any]:
    """The document of ``dag``: values that JSON knows, the same each time that the same file is read.

    :raises SerializationError: when an argument cannot be stored; names DAG, task and argument.
    :raises DagDefinitionError: when the DAG has a cycle or a schedule that cannot be understood.
    """
    dag.complete()
    weights = dag.weights()
    owner = f"DAG {dag.dag_id!r}"
    return {
        "schema": SCHEMA_VERSION,
        "dag_id": dag.dag_id,
        "display_name": dag.dag_display_name or dag.dag_id,
        "description": dag.description,
        "doc_md": dag.doc_md,
        "owner": dag.owner,
        "tags": list(dag.tags or ()),
        "timezone": dag.timezone,
        "timetable": dag.timetable.to_dict(),
        "schedule": dag.timetable.summary,
        "start_date": iso_or_none(dag.start_date),
        "end_date": iso_or_none(dag.end_date),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "max_active_tasks": dag.max_active_tasks,
        "max_consecutive_failed_dag_runs": dag.max_consecutive_failed_dag_runs,
        "dagrun_timeout": _seconds(dag.dagrun_timeout),
        "overlap": str(dag.overlap),
        "allowed_run_types": None if dag.allowed_run_types is None else sorted(map(str, dag.allowed_run_types)),
        "fail_fast": dag.fail_fast,
        "callbacks": _callbacks(dag),
        "deadlines": _deadlines(dag),
        "is_paused_upon_creation": dag.is_paused_upon_creation,
        "reparse": _seconds(dag.reparse),
        "params": _params(owner, dag.params),
        "tasks": [_task(dag, task, weights[task.task_id]) for task in dag.tasks],
        "groups": [
            {
                "group_id": group.group_id,
                "parent": group.parent_group.group_id if group.parent_group else None,
                "label": group.label,
                "tooltip": group.tooltip,
                "expand": group.over and group.over.shape(),
            }
            for group in dag.groups.values()
        ],
    }


def dumps(document: Mapping[str, Any]) -> str:
    """The one text of a document, so that its hash tells whether anything changed."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _task(dag: DAG, task: BaseOperator, priority: int) -> dict[str, Any]:
    owner = f"DAG {dag.dag_id!r}, task {task.task_id!r}"
    return {
        "task_id": task.task_id,
        "display_name": task.task_display_name or task.task_id,
        "operator": task.task_type,
        "owner": task.owner,
        "group": task.task_group.group_id if task.task_group else None,
        "upstream": sorted(task.upstream_task_ids),
        "trigger_rule": str(task.trigger_rule),
        "retries": task.retries,
        "retry_delay": _seconds(task.retry_delay),
        "retry_backoff": _backoff(task.retry_exponential_backoff),
        "retry_jitter": task.retry_jitter,
        "max_retry_delay": _seconds(task.max_retry_delay),
        "execution_timeout": _seconds(task.execution_timeout),
        "deadline": _seconds(task.deadline),
        "callbacks": _callbacks(task),
        "pool": task.pool,
        "pool_slots": task.pool_slots,
        "resources": dict(task.resources or {}),
        "priority": priority,
        "queue": task.queue,
        "executor": task.executor,
        "executor_config": _json(owner, "executor_config", task.executor_config),
        "run_as_user": task.run_as_user,
        "depends_on_past": task.depends_on_past or task.wait_for_downstream,
        "wait_for_downstream": task.wait_for_downstream,
        "ignore_first_depends_on_past": task.ignore_first_depends_on_past,
        "wait_for_past_depends_before_skipping": task.wait_for_past_depends_before_skipping,
        "max_active_per_dag": task.max_active_tis_per_dag,
        "max_active_per_run": task.max_active_tis_per_dagrun,
        "is_empty": task.is_empty,
        "do_xcom_push": task.do_xcom_push,
        "start_date": iso_or_none(task.start_date),
        "end_date": iso_or_none(task.end_date),
        "doc_md": task.doc_md,
        "ui_color": task.ui_color,
        "params": _params(owner, task.params),
        "template_fields": {name: shorten(getattr(task, name, None)) for name in task.template_fields},
        "edge_labels": dag.edge_labels.get(task.task_id, {}),
        "is_setup": task.is_setup,
        "is_teardown": task.is_teardown,
        "fails_run": task.is_teardown and task.on_failure_fail_dagrun,
        "expand": task.mapping and task.mapping.over.shape(),
    }


#: The callbacks that may be called where no process of a task does it.
_CALLBACKS = ("on_success_callback", "on_failure_callback", "on_retry_callback", "on_deadline_missed_callback")


def _callbacks(owner: DAG | BaseOperator) -> list[str]:
    return [name for name in _CALLBACKS if getattr(owner, name, None)]


def _deadlines(dag: DAG) -> list[dict[str, Any]]:
    return [
        {
            "name": alert.name or f"deadline {number}",
            "reference": alert.reference.to_dict(),
            "interval": _seconds(alert.interval),
            "has_callback": bool(alert.callback),
        }
        for number, alert in enumerate(dag.deadline or ())
    ]


def _params(owner: str, params: Mapping[str, Param]) -> dict[str, Any]:
    return {name: _param(owner, name, param, number) for number, (name, param) in enumerate(params.items())}


def _param(owner: str, name: str, param: Param, position: int) -> dict[str, Any]:
    field = f"params[{name!r}]"
    schema = _json(owner, field, param.schema)
    stored: dict[str, Any] = {"schema": schema, "description": param.description, "position": position}
    if param.has_default:
        stored["default"] = _json(owner, field, param.default)
    return stored


def _json(owner: str, field: str, value: Any) -> Any:
    """``value`` as JSON reads it back.

    :raises SerializationError: when JSON does not know it.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(
            f"{owner}: {field} cannot be stored as JSON: {error}. Use strings, numbers, lists and dictionaries."
        ) from None


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _backoff(value: bool | float) -> float:
    """The multiplier that the argument means: True doubles, as it always did."""
    if isinstance(value, bool):
        return 2.0 if value else 1.0
    return float(value)
