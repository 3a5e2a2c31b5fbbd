"""A callback that has a process of its own: because that of the task was killed, or because it is about a whole run.

Its output is a log of its own. Nothing that it does changes the task or the run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clockmill.clock import Clock, SystemClock, iso
from clockmill.errors import ClockmillError, DagDefinitionError
from clockmill.model.context import running_in
from clockmill.model.dag import DAG
from clockmill.protocols import AttemptReport, Workload
from clockmill.runtime.calling import call
from clockmill.runtime.channel import TaskChannel
from clockmill.runtime.context import TaskContext, make_context, make_run_context
from clockmill.runtime.failures import print_failure, reason_of
from clockmill.runtime.instance import Outputs, TaskInstance
from clockmill.runtime.termination import Terminated, die_of_term, on_term
from clockmill.state import Outcome
from clockmill.xcom import DatabaseBackend

#: What a callback is told by name, beside what every context has.
_TOLD = ("reason", "failed_tasks", "deadline", "signal", "exit_code")


class TaskEnded(ClockmillError):
    """Stands in the context for the exception of a task whose process could not tell it; never raised."""


def make_call(
    workload: Workload, *, load: Callable[[], DAG], channel: TaskChannel, clock: Clock | None = None
) -> AttemptReport:
    """Call the author's functions that ``workload.callback`` names, in this process.

    :param load: gives the DAG, importing its file when need be.
    :param channel: the line to whoever watches.
    :returns: a failure when the file cannot be loaded, has no such callback, or one of its functions raised.
    """
    clock = clock or SystemClock()
    started = iso(clock.now())
    channel.started(started)  # the time limit counts the import of the file as well
    try:
        with on_term(lambda: None):
            reason = _call_all(workload, load, channel, clock)
    except Terminated:
        die_of_term()
    return AttemptReport(
        attempt_id=workload.attempt_id,
        token=workload.token,
        outcome=(Outcome.FAILED if reason else Outcome.SUCCESS).value,
        reason=reason,
        started_at=started,
        ended_at=iso(clock.now()),
        called_back=True,
    )


def _call_all(workload: Workload, load: Callable[[], DAG], channel: TaskChannel, clock: Clock) -> str:
    """Call the functions in turn, whatever becomes of those before; returns why the first failure was one."""
    reasons = []
    try:
        dag = load()
        functions = _functions(dag, workload)
        context = _context(dag, workload, channel, clock)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the file is the author's, and may raise anything
        print_failure(error)
        return reason_of(error)
    folder = (Path(workload.bundle_path) / workload.file).parent if workload.file else dag.folder
    with running_in(context):
        for function in functions:
            try:
                call(function, context, dag, folder)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
                sys.stdout.flush()
                print_failure(error)
                reasons.append(reason_of(error))
    return reasons[0] if reasons else ""


def _functions(dag: DAG, workload: Workload) -> tuple[Any, ...]:
    kind = _told(workload)["kind"]
    name, _, position = kind.partition(":")
    if name == "deadline":
        alerts = dag.deadline or ()
        found = alerts[int(position)].callback if int(position) < len(alerts) else None
    else:
        found = getattr(dag.get_task(workload.task_id) if workload.task_id else dag, name, None)
    if not found:
        where = f"task {workload.task_id!r}" if workload.task_id else f"DAG {dag.dag_id!r}"
        raise DagDefinitionError(f"The {where} of {workload.file} has no {kind}.")
    return tuple(found)


def _context(dag: DAG, workload: Workload, channel: TaskChannel, clock: Clock) -> TaskContext:
    told = _told(workload)["context"]
    if workload.task_id:
        ti = TaskInstance(workload, channel, Outputs(), DatabaseBackend(), dag.get_task(workload.task_id), clock)
        context = make_context(workload, channel, ti)
        if "deadline" not in told:
            context["exception"] = TaskEnded(told.get("reason") or "")
    else:
        context = make_run_context(workload, channel, dag)
    for name in _TOLD:
        if name in told:
            context[name] = told[name]
    return context


def _told(workload: Workload) -> Mapping[str, Any]:
    assert workload.callback is not None
    return workload.callback
