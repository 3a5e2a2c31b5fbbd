"""Build the workload of an attempt from its run, its task and the settings."""

from __future__ import annotations

from typing import Any

from clockmill.clock import iso_or_none
from clockmill.config import Settings
from clockmill.logs.paths import path_for, path_for_callback
from clockmill.protocols import Workload
from clockmill.scheduler.handover import Elements
from clockmill.scheduler.plans import Plan
from clockmill.scheduler.views import RunView
from clockmill.state.resources import from_text
from clockmill.storage.callbacks import CallbackRow
from clockmill.storage.records import RunRow, TaskRow


def workload_for(
    view: RunView, row: TaskRow, attempt_id: str, token: str, settings: Settings, elements: Elements
) -> Workload:
    """All that an executor needs to run this attempt.

    :param elements: what is handed over of the values that the task is mapped over.
    """
    run = view.run
    task = view.plan.tasks[row.task_id]
    log_path = path_for(
        settings.logs_folder,
        dag_id=run.dag_id,
        run_id=run.run_id,
        task_id=row.task_id,
        map_index=row.map_index,
        try_number=row.try_number,
    )
    return Workload(
        attempt_id=attempt_id,
        token=token,
        dag_id=run.dag_id,
        run_id=run.run_id,
        task_id=row.task_id,
        map_index=row.map_index,
        item=row.item,
        scope=row.scope,
        try_number=row.try_number,
        bundle=view.plan.bundle,
        bundle_path=f"{settings.bundles_folder}/{view.plan.bundle}",
        file=view.plan.file,
        log_path=str(log_path),
        queue=row.queue,
        priority=row.priority,
        execution_timeout=task.execution_timeout,
        kill_grace=settings.scheduler.kill_grace_seconds,
        max_xcom_bytes=settings.core.max_xcom_bytes,
        executor_config=dict(task.executor_config),
        resources=from_text(row.resources),
        elements=elements,
        run_as_user=task.run_as_user,
        resume=row.resume,
        context={
            "dag_run": _run_context(run),
            "params": view.plan.params(row.task_id, run.conf),
            "max_tries": row.max_tries,
            "first_start": iso_or_none(row.first_start),
            "reschedules": row.reschedules,
        },
    )


def callback_workload(
    plan: Plan, run: RunRow, call: CallbackRow, attempt_id: str, token: str, settings: Settings
) -> Workload:
    """All that an executor needs to call an author's function."""
    task = call.context.get("task") or {}
    of_task = plan.tasks.get(task.get("task_id", ""))
    path = path_for_callback(settings.logs_folder, dag_id=run.dag_id, run_id=run.run_id, callback_id=call.id)
    return Workload(
        attempt_id=attempt_id,
        token=token,
        dag_id=run.dag_id,
        run_id=run.run_id,
        task_id=task.get("task_id", ""),
        map_index=task.get("map_index", -1),
        item=task.get("item", -1),
        scope=task.get("scope", ""),
        try_number=task.get("try_number", 1),
        bundle=plan.bundle,
        bundle_path=f"{settings.bundles_folder}/{plan.bundle}",
        file=plan.file,
        log_path=str(path),
        execution_timeout=settings.scheduler.callback_timeout_seconds,
        kill_grace=settings.scheduler.kill_grace_seconds,
        # It is called by the default executor; what its task tells another one, that one need not know.
        executor_config=dict(of_task.executor_config) if of_task and of_task.executor is None else {},
        run_as_user=of_task.run_as_user if of_task else None,
        callback={"id": call.id, "kind": call.kind, "context": call.context},
        context={
            "dag_run": {**_run_context(run), "state": call.context.get("run_state")},
            "params": plan.params(task.get("task_id"), run.conf),
            "max_tries": task.get("max_tries", 1),
        },
    )


def _run_context(run: RunRow) -> dict[str, Any]:
    dates = ("logical_date", "data_interval_start", "data_interval_end", "run_after", "queued_at", "start_date")
    context: dict[str, Any] = {name: iso_or_none(getattr(run, name)) for name in dates}
    return {**context, "run_id": run.run_id, "run_type": run.run_type, "conf": run.conf, "note": run.note}
