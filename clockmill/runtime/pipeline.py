"""One attempt from its workload to its report, as named steps over one record.

The steps are load, render, pre-execute, execute, push XCom, post-execute; what comes of them is reported. The first one
that raises ends the attempt.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clockmill.clock import Clock, SystemClock, iso, parse_iso
from clockmill.errors import DagDefinitionError, SerializationError, TaskDeferred, TaskSignal
from clockmill.model.context import await_result, running_in
from clockmill.model.dag import DAG
from clockmill.model.operator import BaseOperator
from clockmill.model.partial import instance_of
from clockmill.protocols import AttemptReport, Workload
from clockmill.runtime.calling import call
from clockmill.runtime.channel import TaskChannel
from clockmill.runtime.context import TaskContext, make_context
from clockmill.runtime.deferral import deferral, goes_on, resume
from clockmill.runtime.endings import SUCCESS, Ending, ending_of
from clockmill.runtime.failures import print_failure, reason_of
from clockmill.runtime.instance import Outputs, TaskInstance
from clockmill.runtime.retrying import by_policy
from clockmill.runtime.termination import Terminated, die_of_term, on_term, time_limit
from clockmill.state import KEPT_OUTCOMES, UNFINISHED_OUTCOMES, Outcome
from clockmill.templating import render_text, rendered
from clockmill.xcom import RETURN_KEY, DatabaseBackend, XComBackend


@dataclass(kw_only=True)
class Attempt:
    """The record that the steps work on.

    :param started_at: right before the user's code.
    :param ended_at: right after the user's code.
    :param result: what ``execute`` returned.
    :param label: ``map_index_template`` filled in.
    """

    workload: Workload
    channel: TaskChannel
    clock: Clock
    load: Callable[[], DAG]
    backend: XComBackend
    test_mode: bool
    outputs: Outputs = field(default_factory=Outputs)
    started_at: str | None = None
    ended_at: str | None = None
    result: Any = None
    label: str | None = None
    called_back: bool = False
    pid: int = field(default_factory=os.getpid)
    task: BaseOperator = field(init=False)
    ti: TaskInstance = field(init=False)
    context: TaskContext = field(init=False)

    @property
    def loaded_dag(self) -> DAG:
        """The DAG of the task."""
        assert self.task.dag is not None
        return self.task.dag

    @property
    def folder(self) -> Path:
        """The folder of the DAG file."""
        if self.workload.file:
            return (Path(self.workload.bundle_path) / self.workload.file).parent
        return self.loaded_dag.folder


def execute(
    workload: Workload,
    *,
    load: Callable[[], DAG],
    channel: TaskChannel,
    clock: Clock | None = None,
    backend: XComBackend | None = None,
    test_mode: bool = False,
) -> AttemptReport:
    """Run one attempt in this process.

    :param load: gives the DAG, importing its file when need be; what it raises fails the attempt.
    :param channel: the line to whoever watches the attempt.
    :param backend: where XCom values are kept; the metadata database by default.
    :param test_mode: whether this is a try-out in the author's own process: SIGTERM is left alone, Ctrl-C goes through,
        and ``execution_timeout`` is kept here, as nobody watches from outside.
    :returns: the report as far as the task process knows it; the supervisor adds memory and CPU time.
    """
    attempt = Attempt(
        workload=workload,
        channel=channel,
        clock=clock or SystemClock(),
        load=load,
        backend=backend or DatabaseBackend(),
        test_mode=test_mode,
        outputs=Outputs(xcoms=dict((workload.resume or {}).get("xcoms") or ())),
    )
    ending = _take(attempt, _load)
    if ending is SUCCESS:
        with running_in(attempt.context):
            ending = _run(attempt)
    return _report(attempt, ending)


def render(
    workload: Workload, *, load: Callable[[], DAG], channel: TaskChannel, clock: Clock | None = None
) -> dict[str, Any]:
    """The template fields of a task, filled in as :func:`execute` would; nothing is run.

    :returns: field name -> value.
    :raises DagDefinitionError: when a template is wrong.
    """
    attempt = Attempt(
        workload=workload,
        channel=channel,
        clock=clock or SystemClock(),
        load=load,
        backend=DatabaseBackend(),
        test_mode=True,
    )
    _load(attempt)
    with running_in(attempt.context):
        _render(attempt)
    return {name: getattr(attempt.task, name) for name in attempt.task.template_fields}


def _run(attempt: Attempt) -> Ending:
    # The operator is looked up when the signal comes: rendering puts a filled copy in the place of the first.
    guard = nullcontext() if attempt.test_mode else on_term(lambda: attempt.task.on_kill())
    try:
        with guard:
            ending = _take(attempt, _render, _pre_execute, _execute, _push_xcom, _post_execute)
            _name_instance(attempt)
            ending = by_policy(ending, attempt.ti, attempt.context)
            _call_back(attempt, ending)
    except Terminated:  # what its author wants called then is called in a process of its own
        die_of_term()
    return ending


def _take(attempt: Attempt, *steps: Callable[[Attempt], None]) -> Ending:
    """Take the steps in turn; the ending is that of the first that raises, else a success."""
    try:
        for step in steps:
            step(attempt)
    except Terminated:
        raise
    except BaseException as error:
        if attempt.test_mode and isinstance(error, KeyboardInterrupt):
            raise
        ending = _ending(attempt, error)
        _tell(ending, ending.error or error)
        return ending
    return SUCCESS


def _ending(attempt: Attempt, error: BaseException) -> Ending:
    if not isinstance(error, TaskDeferred):
        return ending_of(error)
    try:
        told = deferral(error, attempt.workload.max_xcom_bytes)
    except Exception as refused:  # noqa: BLE001 - serialize() is the author's; what it raises fails the task
        return ending_of(refused)
    return Ending(outcome=Outcome.DEFERRED, error=error, reason=str(error), defer=told)


# --- the steps ------------------------------------------------------------------------------------------------------


def _load(attempt: Attempt) -> None:
    workload = attempt.workload
    attempt.task = _loaded(attempt).get_task(workload.task_id)
    attempt.ti = TaskInstance(workload, attempt.channel, attempt.outputs, attempt.backend, attempt.task, attempt.clock)
    attempt.context = make_context(workload, attempt.channel, attempt.ti, test_mode=attempt.test_mode)


def _loaded(attempt: Attempt) -> DAG:
    try:
        return attempt.load()
    except (SystemExit, TaskSignal, TaskDeferred) as error:
        # Only a task may choose how it ends; a file that does so while it is loaded is broken.
        raise DagDefinitionError(
            f"The file of DAG {attempt.workload.dag_id!r} raised {reason_of(error)} while it was loaded."
        ) from error


def _render(attempt: Attempt) -> None:
    task, known = attempt.task, ()
    if task.mapping is not None:
        task, known = instance_of(task, attempt.context, max(attempt.workload.item, 0))
    explain = attempt.context.explain
    task = rendered(task, attempt.context, folder=attempt.folder, explain=explain, known=known)
    attempt.task = attempt.ti.task = attempt.context["task"] = task


def _pre_execute(attempt: Attempt) -> None:
    attempt.started_at = iso(attempt.clock.now())
    attempt.ti.start_date = parse_iso(attempt.started_at)
    attempt.channel.started(attempt.started_at)
    _timed(attempt, lambda: attempt.task.pre_execute(attempt.context))
    if attempt.workload.context.get("first_start") is None:  # else this try began long ago, and goes on now
        _call_all(attempt, "on_execute_callback")


def _execute(attempt: Attempt) -> None:
    def run() -> Any:
        told = attempt.workload.resume
        if told is not None and goes_on(told):
            result = resume(attempt.task, told, attempt.context)
        else:
            result = attempt.task.execute(attempt.context)
        return await_result(result) if hasattr(result, "__await__") else result

    seconds = attempt.workload.execution_timeout if attempt.test_mode else None
    with time_limit(seconds):
        attempt.result = _timed(attempt, run)


def _push_xcom(attempt: Attempt) -> None:
    task, result = attempt.task, attempt.result
    if not task.do_xcom_push or result is None:
        return
    if task.multiple_outputs:
        for key, value in _several(task, result).items():
            attempt.ti.xcom_push(key, value)
    attempt.ti.xcom_push(RETURN_KEY, result)


def _post_execute(attempt: Attempt) -> None:
    _timed(attempt, lambda: attempt.task.post_execute(attempt.context, attempt.result))


# --- around the user's code -----------------------------------------------------------------------------------------


def _timed(attempt: Attempt, user_code: Callable[[], Any]) -> Any:
    """Call the user's code and note when it came back."""
    try:
        return user_code()
    finally:
        attempt.ended_at = iso(attempt.clock.now())
        if os.getpid() != attempt.pid:
            # User code forked and let the copy return: only the first process may speak for the attempt.
            os._exit(0)


def _several(task: BaseOperator, result: Any) -> dict[str, Any]:
    if not isinstance(result, dict) or not all(isinstance(key, str) for key in result):
        raise SerializationError(
            f"Task {task.task_id!r} has multiple_outputs, so it must return a dictionary with string keys, not a "
            f"{type(result).__name__}."
        )
    if RETURN_KEY in result:
        raise SerializationError(
            f"Task {task.task_id!r} has multiple_outputs, so its result may not have the key {RETURN_KEY!r}: that "
            "names the whole result."
        )
    return result


# --- the end --------------------------------------------------------------------------------------------------------


def _tell(ending: Ending, error: BaseException) -> None:
    if ending.has_traceback:
        print_failure(error)
    else:
        sys.stdout.flush()
        sys.stderr.write(f"{type(error).__name__}: {ending.reason or error}\n")


_CALLBACKS = {Outcome.SUCCESS: "on_success_callback", Outcome.SKIPPED: "on_skipped_callback"}


def _call_back(attempt: Attempt, ending: Ending) -> None:
    """Call what the author wants called at this ending."""
    if ending.outcome is Outcome.STOPPED or ending.outcome in UNFINISHED_OUTCOMES:
        return
    attempt.context["exception"] = ending.error
    attempt.context["reason"] = ending.reason
    tries_left = not ending.no_retry and attempt.ti.try_number < attempt.ti.max_tries
    failed = "on_retry_callback" if tries_left else "on_failure_callback"
    _call_all(attempt, _CALLBACKS.get(ending.outcome, failed))
    attempt.called_back = True


def _call_all(attempt: Attempt, name: str) -> None:
    for callback in getattr(attempt.task, name) or ():
        try:
            call(callback, attempt.context, attempt.loaded_dag, attempt.folder)
        except Exception as error:  # noqa: BLE001 - a callback may raise anything and never changes the outcome
            sys.stderr.write(f"{name} failed:\n")
            print_failure(error)


def _name_instance(attempt: Attempt) -> None:
    """Fill in what people know the instance of a mapped task by; what its code put into the context counts too."""
    if attempt.task.map_index_template is None or attempt.started_at is None:
        return
    try:
        attempt.label = render_text(attempt.task, "map_index_template", attempt.context, folder=attempt.folder)
    except Exception as error:  # noqa: BLE001 - a template runs code of the author's; a name changes no outcome
        sys.stderr.write("map_index_template failed:\n")
        print_failure(error)


def _report(attempt: Attempt, ending: Ending) -> AttemptReport:
    outputs, is_success = attempt.outputs, ending.outcome is Outcome.SUCCESS
    goes_well = ending.outcome in KEPT_OUTCOMES
    return AttemptReport(
        attempt_id=attempt.workload.attempt_id,
        token=attempt.workload.token,
        outcome=ending.outcome.value,
        reason="" if is_success else ending.reason,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        exit_code=ending.exit_code,
        retry_after=ending.retry_after,
        no_retry=ending.no_retry,
        called_back=attempt.called_back,
        branch=outputs.branch if is_success else None,
        skips=outputs.skips if is_success else None,
        xcoms=list(outputs.xcoms.items()) if goes_well else [],
        run_requests=[request.to_json() for request in outputs.run_requests] if goes_well else [],
        defer=ending.defer,
        look_again_at=ending.look_again_at,
        label=attempt.label,
    )
