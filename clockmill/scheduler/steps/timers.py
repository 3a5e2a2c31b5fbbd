"""What becomes due inside a run: the next try of a task, its next look, and the time-out of the run itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from clockmill.scheduler.views import RunView
from clockmill.state import BUSY_TASK_STATES, RunEnding, RunState, TaskState


def begin_due_tries(view: RunView, now: datetime) -> None:
    """Schedule the next try of each task whose delay is over, and the same try of one that was to look again."""
    for key, row in list(view.aggregate.tasks.items()):
        if row.due_at is not None and row.due_at <= now:
            view.schedule(key, now, same_try=row.state is TaskState.UP_FOR_RESCHEDULE)


def time_out(view: RunView, now: datetime) -> list[int]:
    """End a run that took longer than its ``dagrun_timeout``, or has no more time because the next one is due.

    :returns: the task instances whose attempts are to be stopped.
    """
    run = view.run
    if run.state is not RunState.RUNNING or run.deadline_at is None or run.deadline_at > now:
        return []
    allowed: timedelta = run.deadline_at - (run.start_date or run.deadline_at)
    ending, reason = RunEnding.TIMEOUT, f"{RunEnding.TIMEOUT}: the run took longer than {allowed}"
    if run.ending is RunEnding.OVERLAP:
        ending, reason = run.ending, run.reason
    stop = []
    for key in view.unfinished():
        row = view.task(key)
        if row.state in BUSY_TASK_STATES:
            stop.append(row.id)
        view.change(key, state=TaskState.SKIPPED, cut_short=True, due_at=None, end_date=now, reason=reason)
    view.aggregate.finish_run(RunState.FAILED, now, reason, ending)
    return stop
