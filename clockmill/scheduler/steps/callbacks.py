"""Calls of authors' functions that no task process can make: order them, hand them out, take in what became of them.

What happens to a run and the order to call somebody because of it are one transaction, so each is called about once and
never forgotten. The call itself is made in a task process of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from clockmill.errors import ClockmillError
from clockmill.events import EventKind
from clockmill.ids import new_attempt_id, new_token
from clockmill.protocols import AttemptReport, Workload
from clockmill.scheduler.steps.attempt_ends import attempt_end
from clockmill.scheduler.steps.workloads import callback_workload
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import Effects, Workspace
from clockmill.state import (
    FAILED_TASK_STATES,
    LIVE_ATTEMPT_STATES,
    CallbackState,
    Outcome,
    RunState,
    TaskState,
)
from clockmill.storage.callbacks import CallbackRow, callbacks_by_id, hold_pending
from clockmill.storage.engine import Connection
from clockmill.storage.records import AttemptRow, RunRow, TaskRow
from clockmill.storage.runs import runs_by_id
from clockmill.storage.transitions import (
    CallbackMove,
    NewAttempt,
    NewCallback,
    create_attempts,
    create_callbacks,
    end_attempts,
    move_callbacks,
)

#: How many failed tasks a callback of a run is told by name.
_MOST_NAMED = 100
_OF_STATE = {TaskState.FAILED: "on_failure_callback", TaskState.UP_FOR_RETRY: "on_retry_callback"}
_OF_RUN = {RunState.SUCCESS: "on_success_callback", RunState.FAILED: "on_failure_callback"}


def call_for_task(view: RunView, row: TaskRow, report: AttemptReport, effects: Effects, now: datetime) -> None:
    """Order the call that the process of a task could not make: it was killed, timed out, or never came to its code.

    :param row: the task instance as its attempt left it.
    """
    is_bad = report.outcome in (Outcome.FAILED, Outcome.LOST) and not report.called_back
    kind = _OF_STATE.get(row.state) if is_bad else None
    if kind is not None and kind in view.plan.tasks[row.task_id].callbacks:
        effects.callbacks.append(
            new_callback(view, kind, now, row, reason=row.reason, signal=report.signal, exit_code=report.exit_code)
        )


def call_for_decided(view: RunView, rows: Collection[TaskRow], effects: Effects, now: datetime) -> None:
    """Order the calls about tasks that failed without ever getting a process, such as one mapped over too much."""
    for row in rows:
        if "on_failure_callback" in view.plan.tasks[row.task_id].callbacks:
            effects.callbacks.append(new_callback(view, "on_failure_callback", now, row, reason=row.reason))


def call_for_run(view: RunView, effects: Effects, now: datetime) -> None:
    """Order the call that the end of a run asks for; to be called when it has just ended."""
    kind = _OF_RUN.get(view.run.state)
    if kind is None or kind not in view.plan.document.callbacks:
        return
    failed = sorted({row.task_id for row in view.aggregate.tasks.values() if row.state in FAILED_TASK_STATES})
    effects.callbacks.append(
        new_callback(
            view, kind, now, reason=view.run.reason or _reason(view, failed), failed_tasks=failed[:_MOST_NAMED]
        )
    )


def _reason(view: RunView, failed: list[str]) -> str:
    if view.run.state is RunState.SUCCESS:
        return "success"
    return f"task_failure: {', '.join(failed[:3])}{' and others' if len(failed) > 3 else ''}"


def new_callback(view: RunView, kind: str, now: datetime, row: TaskRow | None = None, **told: Any) -> NewCallback:
    """The order to call an author's function.

    :param row: the task instance that it is about; None for the run.
    :param told: what goes into the context of the function.
    """
    if row is not None:
        names = ("task_id", "scope", "map_index", "item", "try_number", "max_tries")
        told["task"] = {**{name: getattr(row, name) for name in names}, "state": str(row.state)}
    return NewCallback(
        dag_run_id=view.run.id,
        task_instance_id=None if row is None else row.id,
        kind=kind,
        context={"run_state": str(view.run.state), **told},
        created_at=now,
    )


class Callbacks:
    """The calls of one scheduler.

    ``is_due`` says whether it is worth looking for some: nobody looks at every pass.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._crash_budget = workspace.settings.core.crash_budget
        self.is_due = True

    def apply(
        self,
        connection: Connection,
        ended: Collection[tuple[AttemptReport, AttemptRow]],
        effects: Effects,
        now: datetime,
    ) -> None:
        """Write what became of calls; one whose attempt was lost or given back waits for another."""
        known = [(report, row) for report, row in ended if row.state in LIVE_ATTEMPT_STATES]
        if not known:
            return
        won = end_attempts(connection, [attempt_end(report, row, now) for report, row in known])
        mine = [(report, row) for report, row in known if row.id in won and row.callback_id is not None]
        calls = callbacks_by_id(connection, {row.callback_id for _, row in mine if row.callback_id is not None})
        moves = [
            self._move(calls[row.callback_id], report, now)
            for report, row in mine
            if row.callback_id in calls and calls[row.callback_id].state is CallbackState.PENDING
        ]
        move_callbacks(connection, moves)
        failed = [move for move in moves if move.new is CallbackState.FAILED]
        _tell_failures(connection, [(calls[move.id], move.reason) for move in failed], effects, now)
        effects.calls_wait |= any(move.new is CallbackState.PENDING for move in moves)

    def _move(self, call: CallbackRow, report: AttemptReport, now: datetime) -> CallbackMove:
        outcome = Outcome(report.outcome)
        crashes = call.crashes + (outcome is Outcome.LOST)
        again = outcome is Outcome.RELEASED or (outcome is Outcome.LOST and crashes <= self._crash_budget)
        state = CallbackState.PENDING if again else CallbackState.FAILED
        if outcome is Outcome.SUCCESS:
            state = CallbackState.SUCCESS
        return CallbackMove(
            id=call.id, new=state, crashes=crashes, reason=report.reason, ended_at=None if again else now
        )

    def admit(self, connection: Connection, effects: Effects, free: dict[str, dict[str, int]], now: datetime) -> None:
        """Give free slots to pending calls, before any task: they are few, and somebody waits to hear of it.

        :param free: the free slots by executor and supervisor; what is taken is taken off.
        """
        create_callbacks(connection, effects.callbacks)
        if not (self.is_due or effects.callbacks or effects.calls_wait):
            return
        name = self._space.default_executor
        supervisors = free.get(name, {})
        room = sum(max(0, slots) for slots in supervisors.values())
        calls = hold_pending(connection, room) if room > 0 else []
        effects.calls_wait = room == 0 or len(calls) == room
        runs = _runs_of(connection, calls)
        offers: list[NewAttempt] = []
        for call in calls:
            supervisor_id = max(supervisors, key=lambda each: (supervisors[each], each))
            attempt = _attempt(call, name, supervisor_id, now)
            try:
                workload = self._workload(connection, runs[call.dag_run_id], call, attempt)
            except ClockmillError as error:  # its version cannot be read: nobody will ever make this call
                _give_up(connection, call, str(error), effects, now)
                continue
            supervisors[supervisor_id] -= 1
            offers.append(attempt)
            effects.submit(name, attempt.supervisor_id, workload)
        create_attempts(connection, offers)

    def _workload(
        self, connection: Connection, run: RunRow, call: CallbackRow, attempt: NewAttempt | AttemptRow
    ) -> Workload:
        plan = self._space.plans.get(connection, run.version_id)
        return callback_workload(plan, run, call, attempt.id, attempt.token, self._space.settings)

    def send_again(self, connection: Connection, name: str, rows: Collection[AttemptRow], effects: Effects) -> None:
        """Hand over the attempts of calls once more, whose message never arrived."""
        calls = callbacks_by_id(connection, {row.callback_id for row in rows if row.callback_id is not None})
        runs = _runs_of(connection, calls.values())
        for row in rows:
            if row.callback_id in calls:
                call = calls[row.callback_id]
                workload = self._workload(connection, runs[call.dag_run_id], call, row)
                effects.submit(name, row.supervisor_id, workload)


def _give_up(connection: Connection, call: CallbackRow, reason: str, effects: Effects, now: datetime) -> None:
    move = CallbackMove(id=call.id, new=CallbackState.FAILED, crashes=call.crashes, reason=reason, ended_at=now)
    move_callbacks(connection, [move])
    _tell_failures(connection, [(call, reason)], effects, now)


def _runs_of(connection: Connection, calls: Collection[CallbackRow]) -> dict[int, RunRow]:
    return {row.id: row for row in runs_by_id(connection, {call.dag_run_id for call in calls})} if calls else {}


def _tell_failures(
    connection: Connection, failed: Collection[tuple[CallbackRow, str]], effects: Effects, now: datetime
) -> None:
    runs = _runs_of(connection, [call for call, _ in failed])
    for call, reason in failed:
        task_id = (call.context.get("task") or {}).get("task_id")
        told = {"task_id": task_id, "callback": call.kind, "id": call.id, "reason": reason}
        effects.tell(EventKind.CALLBACK_FAILED, now, runs[call.dag_run_id], **told)


def _attempt(call: CallbackRow, executor: str, supervisor_id: str, now: datetime) -> NewAttempt:
    return NewAttempt(
        id=new_attempt_id(),
        task_instance_id=None,
        callback_id=call.id,
        dag_run_id=call.dag_run_id,
        try_number=call.crashes + 1,
        token=new_token(),
        executor=executor,
        queue="default",
        supervisor_id=supervisor_id or None,
        pool="",
        pool_slots=0,
        queued_at=now,
    )
