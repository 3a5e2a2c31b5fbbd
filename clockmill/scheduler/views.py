"""The runs that a scheduler works on, kept in memory with their upstream counters.

A view is only ever used under its run's lock and after it was brought up to the run's revision, so nothing depends
on it: it saves reading, and can be thrown away at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from clockmill.actions.aggregate import RunAggregate, TaskKey
from clockmill.scheduler.plans import Plan, Plans
from clockmill.state import FINISHED_RUN_STATES, FINISHED_TASK_STATES, Progress, RunState, TaskState
from clockmill.storage.engine import Connection
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.runs import load_tasks, lock_runs


class RunView:
    """One run: its rows, the plan of its pinned version, and how far it has come."""

    def __init__(self, aggregate: RunAggregate, plan: Plan) -> None:
        self.aggregate = aggregate
        self.plan = plan
        left_out = [name for task in aggregate.tasks.values() for name in task.leaves_out or ()]
        states = {task.task_id: task.state for task in aggregate.tasks.values()}
        self.progress = Progress(plan.graph, states, left_out)

    @property
    def run(self) -> RunRow:
        """The row of the run as it stands."""
        return self.aggregate.run

    def task(self, key: TaskKey) -> TaskRow:
        """A task instance as it stands."""
        return self.aggregate.tasks[key]

    def key_of(self, task_instance_id: int) -> TaskKey:
        """Which task a row id belongs to."""
        return self.aggregate.keys[task_instance_id]

    def change(self, key: TaskKey, *, leaves_out: list[str] | None = None, **changes: Any) -> TaskRow:
        """Change a task instance and count what follows for the tasks below it."""
        if leaves_out is not None:
            changes["leaves_out"] = leaves_out
        row = self.aggregate.change_task(key, **changes)
        if key[0] in self.plan.graph:
            self.progress.record(key[0], row.state, leaves_out or ())
        return row

    def schedule(self, key: TaskKey, now: datetime, reason: str = "", *, same_try: bool = False) -> None:
        """Let a task wait for a slot, for its next try or for a repeat of the one that was lost."""
        row = self.task(key)
        self.change(
            key,
            state=TaskState.SCHEDULED,
            try_number=row.try_number if same_try else row.try_number + 1,
            due_at=None,
            scheduled_at=now,
            start_date=None,
            end_date=None,
            reason=reason,
        )

    def settle(self, now: datetime) -> None:
        """Write down every change that follows from the states as they are."""
        if self.run.state is not RunState.RUNNING:
            return
        for change in self.progress.settle():
            key = (change.task_id, -1)
            if change.state is TaskState.SCHEDULED:
                row = self.task(key)
                values: dict[str, Any] = {"try_number": row.try_number + 1, "scheduled_at": now, "reason": ""}
            else:
                values = {"start_date": None, "end_date": now, "reason": change.reason}
                if change.state is TaskState.SUCCESS:
                    values = {"start_date": now, "end_date": now, "reason": "", "try_number": 1}
            self.aggregate.change_task(key, state=change.state, **values)

    def conclude(self, now: datetime) -> None:
        """End the run when all of its tasks are finished."""
        if self.run.state is RunState.RUNNING and (outcome := self.progress.outcome()) in FINISHED_RUN_STATES:
            self.aggregate.finish_run(outcome, now)

    def unfinished(self) -> list[TaskKey]:
        """The task instances that are not finished."""
        return [key for key, row in self.aggregate.tasks.items() if row.state not in FINISHED_TASK_STATES]


class Views:
    """The views of a scheduler."""

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._views: dict[int, RunView] = {}
        self._touched: set[int] = set()

    def begin(self) -> None:
        """Begin a transaction; views that an earlier try of it changed in vain are thrown away."""
        for ident in self._touched:
            self._views.pop(ident, None)
        self._touched.clear()

    def committed(self) -> None:
        """The transaction is committed: what the views say is true. Finished runs are let go."""
        for ident in self._touched:
            view = self._views.get(ident)
            if view is not None and view.run.state in FINISHED_RUN_STATES:
                del self._views[ident]
        self._touched.clear()

    def forget(self) -> None:
        """Throw everything away, because nobody knows what was committed."""
        self._views.clear()
        self._touched.clear()

    def revision(self, run_id: int) -> int:
        """The revision of a run that is known here, or -1."""
        view = self._views.get(run_id)
        return -1 if view is None else view.run.revision

    def hold(self, connection: Connection, ids: Collection[int], *, skip_locked: bool = False) -> dict[int, RunView]:
        """Lock runs and return their views, up to date; those that this transaction holds already are just returned."""
        held = {ident: self._views[ident] for ident in ids if ident in self._touched}
        wanted = [ident for ident in ids if ident not in held]
        if wanted:
            rows = lock_runs(connection, wanted, skip_locked=skip_locked)
            held |= {row.id: self._refreshed(connection, row) for row in rows}
        return held

    def touched(self) -> Iterable[RunView]:
        """The views that are held in this transaction."""
        return [self._views[ident] for ident in sorted(self._touched) if ident in self._views]

    def _refreshed(self, connection: Connection, row: RunRow) -> RunView:
        view = self._views.get(row.id)
        if view is None or view.run.version_id != row.version_id:
            plan = self._plans.get(connection, row.version_id)
            view = RunView(RunAggregate(row, load_tasks(connection, row.id)), plan)
        elif view.run.revision != row.revision:
            tasks = [*view.aggregate.tasks.values(), *load_tasks(connection, row.id, after_revision=view.run.revision)]
            view = RunView(RunAggregate(row, tasks), view.plan)
        self._views[row.id] = view
        self._touched.add(row.id)
        return view
