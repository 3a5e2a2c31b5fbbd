"""One attempt from its workload to its report: load, pre-execute, execute, post-execute, report."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from clockmill.clock import Clock, SystemClock, iso
from clockmill.protocols import AttemptReport, Workload
from clockmill.runtime.channel import TaskChannel


def execute(
    workload: Workload,
    *,
    load: Callable[[], Any],
    channel: TaskChannel,
    clock: Clock | None = None,
) -> AttemptReport:
    """Run one attempt in this process.

    :param load: gives the DAG, importing its file when need be; what it raises fails the attempt.
    :param channel: the line to the supervisor.
    :returns: the report as far as the task process knows it; the supervisor adds exit code, memory and CPU time.
    """
    clock = clock or SystemClock()
    started_at: str | None = None
    try:
        task = load().get_task(workload.task_id)
        started_at = iso(clock.now())
        channel.started(started_at)
        task.execute({})
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything, and all of it ends an attempt
        traceback.print_exc()
        return _report(workload, "failed", f"{type(error).__name__}: {error}", started_at, iso(clock.now()))
    return _report(workload, "success", "", started_at, iso(clock.now()))


def _report(
    workload: Workload, outcome: str, reason: str, started_at: str | None, ended_at: str | None
) -> AttemptReport:
    return AttemptReport(
        attempt_id=workload.attempt_id,
        token=workload.token,
        outcome=outcome,
        reason=reason,
        started_at=started_at,
        ended_at=ended_at,
    )
