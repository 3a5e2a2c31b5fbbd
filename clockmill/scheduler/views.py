"""The runs that a scheduler works on, kept in memory with their upstream counters.

A view is only ever used under its run's lock and after it was brought up to the run's revision, so nothing depends
on it: it saves reading, and can be thrown away at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from clockmill.actions.aggregate import NEW_TRY, RunAggregate
from clockmill.actions.create import lane_of, new_task
from clockmill.actions.past import PastGate
from clockmill.scheduler.plans import Plan, Plans
from clockmill.state import (
    FINISHED_RUN_STATES,
    FINISHED_TASK_STATES,
    Change,
    Placed,
    Progress,
    RunState,
    TaskKey,
    TaskState,
)
from clockmill.state.graph import depth_of
from clockmill.storage.engine import Connection
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.runs import load_tasks, lock_runs
from clockmill.storage.xcoms import xcom_lengths


class RunView:
    """One run: its rows, the plan of its pinned version, and how far it has come."""

    def __init__(self, aggregate: RunAggregate, plan: Plan, max_map_length: int) -> None:
        self.aggregate = aggregate
        self.plan = plan
        rows = aggregate.tasks.values()
        left_out = [(row.key, row.leaves_out) for row in rows if row.leaves_out]
        states = {row.key: row.state for row in rows}
        self.progress = Progress(plan.graph, states, left_out, max_map_length=max_map_length)
        #: What the run before held back when this one was looked at last; None where nothing asks for it.
        self.gate: PastGate | None = None

    @property
    def run(self) -> RunRow:
        """The row of the run as it stands."""
        return self.aggregate.run

    def task(self, key: TaskKey) -> TaskRow:
        """A task instance as it stands."""
        return self.aggregate.tasks[key]

    def key_of(self, task_instance_id: int | None) -> TaskKey:
        """Which task a row id belongs to."""
        assert task_instance_id is not None  # callbacks have steps of their own
        return self.aggregate.keys[task_instance_id]

    def change(self, key: TaskKey, *, leaves_out: list[str] | None = None, **changes: Any) -> TaskRow:
        """Change a task instance and count what follows for the tasks below it."""
        if leaves_out is not None:
            changes["leaves_out"] = leaves_out
        row = self.aggregate.change_task(key, **changes)
        if key.task_id in self.plan.graph:
            self.progress.record(key, row.state, leaves_out or ())
        return row

    def schedule(self, key: TaskKey, now: datetime, reason: str = "", *, same_try: bool = False) -> None:
        """Let a task wait for a slot, for its next try or to go on with the one that was lost or that waited."""
        row = self.task(key)
        own: dict[str, Any] = {"start_date": row.first_start}
        if not same_try:
            own = {"try_number": row.try_number + 1, "start_date": None, **NEW_TRY}
        self.change(key, state=TaskState.SCHEDULED, due_at=None, scheduled_at=now, end_date=None, reason=reason, **own)

    def settle(self, connection: Connection, now: datetime) -> list[TaskRow]:
        """Write down every step that follows from the states as they are; returns what fails by it."""
        failed: list[TaskRow] = []
        if self.run.state is not RunState.RUNNING:
            return failed
        gates = {}
        if self.plan.past:
            for task_id in self.gate.held if self.gate else ():
                self.progress.release(task_id)
            gates = {"gate": PastGate(connection, self.run, self.plan.past)}
            self.gate = gates["gate"]
        for step in self.progress.settle(MappedLengths(connection, self), **gates):
            match step:
                case Placed():
                    self._place(step)
                case Change():
                    self._apply(step, now)
                    if step.state is TaskState.FAILED:
                        failed.append(self.task(step.key))
        return failed

    def _place(self, placed: Placed) -> None:
        if placed.was is not None:
            self.aggregate.rename_task(placed.was, placed.key, placed.item)
            return
        task = self.plan.tasks[placed.key.task_id]
        self.aggregate.add_task(new_task(task, placed.key, item=placed.item, lane=lane_of(self.run)))

    def _apply(self, change: Change, now: datetime) -> None:
        values: dict[str, Any] = {"start_date": None, "end_date": now, "reason": change.reason}
        match change.state:
            case TaskState.SCHEDULED:
                row = self.task(change.key)
                values = {"try_number": row.try_number + 1, "scheduled_at": now, "end_date": None, "reason": ""}
                values |= NEW_TRY
            case TaskState.SUCCESS:
                values |= {"start_date": now, "try_number": 1, "reason": ""}
            case TaskState.NONE:
                values["end_date"] = None
        self.aggregate.change_task(change.key, state=change.state, **values)

    def conclude(self, now: datetime) -> None:
        """End the run when all of its tasks are finished."""
        if self.run.state is not RunState.RUNNING:
            return
        outcome = self.progress.outcome(fail_fast=self.plan.document.fail_fast)
        if outcome in FINISHED_RUN_STATES:
            self.aggregate.finish_run(outcome, now, ending=self.run.ending if outcome is RunState.FAILED else None)

    def unfinished(self) -> list[TaskKey]:
        """The task instances that are not finished."""
        return [key for key, row in self.aggregate.tasks.items() if row.state not in FINISHED_TASK_STATES]


class MappedLengths:
    """How long the values are that a run maps over, read once in a transaction."""

    def __init__(self, connection: Connection, view: RunView) -> None:
        self._connection = connection
        self._view = view
        self._known: dict[tuple[str, str], dict[int, int | None]] = {}

    def __call__(self, task_id: str, key: str, prefix: str) -> int | None:
        """The length of the value of a task, or how many instances gave one when there are several of it.

        :param prefix: which instance of the mapped groups is meant that asker and task have in common.
        """
        found = self._known.get((task_id, key))
        if found is None:
            found = self._known[task_id, key] = xcom_lengths(self._connection, self._view.run.id, task_id, key)
        keys = self._view.progress.instances_under(task_id, prefix)
        ids = [self._view.task(each).id for each in keys]
        if len(ids) == 1 and not self._is_several(task_id, prefix):
            return found.get(ids[0])
        return sum(ident in found for ident in ids)

    def _is_several(self, task_id: str, prefix: str) -> bool:
        node = self._view.plan.graph[task_id]
        return node.expansion is not None or len(node.groups) > depth_of(prefix)


class Views:
    """The views of a scheduler.

    :param max_map_length: how many instances a mapped task may have.
    """

    def __init__(self, plans: Plans, max_map_length: int) -> None:
        self._plans = plans
        self._max_map_length = max_map_length
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
            view = self._view(RunAggregate(row, load_tasks(connection, row.id)), plan)
        elif view.run.revision != row.revision:
            tasks = [*view.aggregate.tasks.values(), *load_tasks(connection, row.id, after_revision=view.run.revision)]
            view = self._view(RunAggregate(row, tasks), view.plan)
        self._views[row.id] = view
        self._touched.add(row.id)
        return view

    def _view(self, aggregate: RunAggregate, plan: Plan) -> RunView:
        return RunView(aggregate, plan, self._max_map_length)
