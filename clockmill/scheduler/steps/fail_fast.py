"""``fail_fast``: the first task that fails for good ends what its run has left, but for teardowns."""

from __future__ import annotations

from datetime import datetime

from clockmill.scheduler.views import RunView
from clockmill.state import BUSY_TASK_STATES, RunEnding, RunState, TaskState


def fail_fast(view: RunView, now: datetime) -> list[int] | None:
    """Fail what runs and skip what waits, when a task of this run has just failed for good.

    What it makes of the tasks is final like any end of a task: one that is cleared runs again, although another of
    the run is still failed. So this looks at what fails in this transaction alone, which no crash can part from it.

    :returns: the task instances whose attempts are to be stopped; None when nothing failed.
    """
    if not view.plan.document.fail_fast or view.run.state is not RunState.RUNNING:
        return None
    graph = view.plan.graph
    failed = [row for row in view.aggregate.newly(TaskState.FAILED) if graph[row.task_id].counts_for_run]
    if not failed:
        return None
    reason = f"{RunEnding.FAIL_FAST}: {min(row.name for row in failed)!r} failed"
    stop = []
    cut = [key for key in view.unfinished() if not graph[key.task_id].is_teardown]
    if cut:
        view.aggregate.note_ending(RunEnding.FAIL_FAST)
    for key in cut:
        row = view.task(key)
        is_busy = row.state in BUSY_TASK_STATES
        if is_busy:
            stop.append(row.id)
        state = TaskState.FAILED if is_busy else TaskState.SKIPPED
        view.change(key, state=state, cut_short=True, due_at=None, end_date=now, reason=reason)
    return stop
