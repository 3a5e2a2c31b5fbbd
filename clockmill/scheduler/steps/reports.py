"""Apply finished attempts to their task instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from clockmill.clock import parse_iso_or_none
from clockmill.events import EventKind
from clockmill.protocols import AttemptReport
from clockmill.scheduler.steps.attempt_ends import attempt_end
from clockmill.scheduler.steps.callbacks import call_for_task
from clockmill.scheduler.steps.triggers import pause, trigger_for
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import Effects
from clockmill.state import (
    AT_WORK_TASK_STATES,
    LIVE_ATTEMPT_STATES,
    AttemptState,
    Budget,
    NextStep,
    Outcome,
    TaskState,
    after_attempt,
    left_out_by,
)
from clockmill.storage.attempts import fold_reschedules
from clockmill.storage.engine import Connection
from clockmill.storage.records import AttemptRow, TaskRow, XComValue
from clockmill.storage.transitions import end_attempts
from clockmill.storage.triggers import insert_triggers
from clockmill.storage.xcoms import store_xcoms
from clockmill.xcom import length


@dataclass(frozen=True, slots=True)
class Ended:
    """A report with the row of the attempt that it is about."""

    report: AttemptReport
    attempt: AttemptRow


class Reports:
    """Writes finished attempts, and what becomes of their task instances."""

    def __init__(self, crash_budget: int) -> None:
        self._crash_budget = crash_budget

    def apply(
        self,
        connection: Connection,
        ended: list[Ended],
        views: Mapping[int, RunView],
        effects: Effects,
        now: datetime,
    ) -> None:
        """End the attempts, then move their task instances on; an attempt that is over already changes nothing."""
        known = [item for item in ended if _is_known(item, views)]
        won = end_attempts(connection, [attempt_end(item.report, item.attempt, now) for item in known])
        looked = [item.attempt for item in known if item.attempt.id in won and _has_looked(views, item.attempt)]
        fold_reschedules(connection, looked)
        values: list[XComValue] = []
        for item in known:
            if item.attempt.id in won:
                view = views[item.attempt.dag_run_id]
                values += self._advance(view, item, effects, now)
        store_xcoms(connection, values, now)
        insert_triggers(connection, effects.triggers)

    def _advance(self, view: RunView, item: Ended, effects: Effects, now: datetime) -> list[XComValue]:
        key = view.key_of(item.attempt.task_instance_id)
        row = view.task(key)
        if row.state is TaskState.RESTARTING:
            view.change(key, state=TaskState.NONE, reason="")
            return []
        if row.state not in AT_WORK_TASK_STATES or item.attempt.state is AttemptState.STOPPING:
            return []
        report = item.report
        budget = Budget(
            try_number=row.try_number,
            max_tries=row.max_tries,
            crashes=row.crashes,
            crash_budget=self._crash_budget,
        )
        step = after_attempt(
            Outcome(report.outcome),
            report.reason,
            budget,
            view.plan.backoff(row.task_id),
            retry_after=report.retry_after,
            no_retry=report.no_retry,
            seed=str(row.id),
        )
        self._move(view, row, step, report, now)
        if step.state is TaskState.DEFERRED and report.defer is not None:
            effects.wait_for(trigger_for(view, row, report.defer, now))
        call_for_task(view, view.task(row.key), report, effects, now)
        _tell(view, row, step, report, effects, now)
        return _values(row, report) if step.state is TaskState.SUCCESS else []

    def _move(self, view: RunView, row: TaskRow, step: NextStep, report: AttemptReport, now: datetime) -> None:
        key = row.key
        if step.state is TaskState.SCHEDULED:
            view.schedule(key, now, step.reason, same_try=True)
            # The time of a sensor counts from here, also when its process died.
            first_start = row.first_start or parse_iso_or_none(report.started_at) or row.start_date
            view.change(key, crashes=step.crashes, first_start=first_start)
            return
        if step.state in (TaskState.DEFERRED, TaskState.UP_FOR_RESCHEDULE):
            view.change(key, state=step.state, crashes=step.crashes, reason=step.reason, **pause(row, report, now))
            return
        left_out = None
        if step.state is TaskState.SUCCESS and (report.branch is not None or report.skips):
            left_out = left_out_by(view.plan.graph, row.task_id, branch=report.branch, skips=report.skips)
        view.change(
            key,
            leaves_out=left_out,
            state=step.state,
            crashes=step.crashes,
            due_at=None if step.delay is None else now + timedelta(seconds=step.delay),
            resume=None,
            label=report.label or row.label,
            start_date=row.first_start or parse_iso_or_none(report.started_at) or row.start_date,
            end_date=parse_iso_or_none(report.ended_at) or now,
            reason=step.reason,
        )


def _has_looked(views: Mapping[int, RunView], attempt: AttemptRow) -> bool:
    view = views[attempt.dag_run_id]
    return view.task(view.key_of(attempt.task_instance_id)).reschedules > 0


def _is_known(item: Ended, views: Mapping[int, RunView]) -> bool:
    return item.attempt.dag_run_id in views and item.attempt.state in LIVE_ATTEMPT_STATES


def counts(item: Ended, views: Mapping[int, RunView]) -> bool:
    """Whether a report will move its task instance on: it has the token of a live attempt that nobody asked to stop."""
    if not _is_known(item, views) or item.attempt.token != item.report.token:
        return False
    view = views[item.attempt.dag_run_id]
    row = view.task(view.key_of(item.attempt.task_instance_id))
    return row.state in AT_WORK_TASK_STATES and item.attempt.state is not AttemptState.STOPPING


def _values(row: TaskRow, report: AttemptReport) -> list[XComValue]:
    newest = dict(report.xcoms)
    return [
        XComValue(
            task_instance_id=row.id,
            dag_run_id=row.dag_run_id,
            task_id=row.task_id,
            map_index=row.map_index,
            try_number=row.try_number,
            key=key,
            value=value,
            length=length(value),
        )
        for key, value in newest.items()
    ]


def _tell(view: RunView, row: TaskRow, step: NextStep, report: AttemptReport, effects: Effects, now: datetime) -> None:
    task = {"task_id": row.task_id, "map_index": row.map_index, "try_number": row.try_number, "reason": step.reason}
    if report.outcome == Outcome.LOST:
        effects.tell(EventKind.ATTEMPT_LOST, now, view.run, **task)
    elif step.state is TaskState.UP_FOR_RETRY:
        effects.tell(EventKind.TASK_RETRY, now, view.run, **task)
