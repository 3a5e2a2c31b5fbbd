"""A run with its task instances, changed as one: the only way in which either changes.

The caller holds the run's row. Changes are gathered in memory and written by :meth:`RunAggregate.flush`, each stamped
with the run's next revision, so that whoever keeps this run in memory can tell what it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from clockmill.errors import Conflict
from clockmill.state import FINISHED_RUN_STATES, FINISHED_TASK_STATES, RunEnding, RunState, TaskKey, TaskState
from clockmill.storage.engine import Connection
from clockmill.storage.records import NewTask, RunMove, RunRow, TaskRow
from clockmill.storage.rows import values_of
from clockmill.storage.transitions import add_tasks, move_runs, move_tasks
from clockmill.storage.triggers import drop_triggers

#: What a try of a task instance has to itself, as a new one begins.
NEW_TRY: Mapping[str, Any] = {"reschedules": 0, "first_start": None, "resume": None}


class RunAggregate:
    """One run under its lock.

    :param run: its row, held.
    :param tasks: all of its task instances.
    """

    def __init__(self, run: RunRow, tasks: Iterable[TaskRow]) -> None:
        self.run = run
        # By id first: of a row that is given twice the later one counts, whose key may have changed.
        rows = {task.id: task for task in tasks}
        self.tasks: dict[TaskKey, TaskRow] = {task.key: task for task in rows.values()}
        self.keys: dict[int, TaskKey] = {ident: row.key for ident, row in rows.items()}
        self._changed: dict[int, TaskState] = {}
        self._new: dict[int, None] = {}
        self._run_was = run.state
        self._run_changed = False

    @property
    def is_changed(self) -> bool:
        """Whether there is something to write."""
        return self._run_changed or bool(self._changed) or bool(self._new)

    @property
    def has_moved(self) -> bool:
        """Whether the run itself goes to another state."""
        return self.run.state is not self._run_was

    @property
    def has_ended(self) -> bool:
        """Whether the run comes to its end by what is not written yet: the one rule for all that an end calls for."""
        return self.has_moved and self.run.state in FINISHED_RUN_STATES

    def change_task(self, key: TaskKey, **changes: Any) -> TaskRow:
        """Give columns of a task instance new values; returns the row as it will be written.

        In the state that it goes to it is not cut short, unless the changes say so.
        """
        old = self.tasks[key]
        if "state" in changes:
            changes.setdefault("cut_short", False)
        if old.id not in self._new:
            self._changed.setdefault(old.id, old.state)
        new = replace(old, **changes, revision=self.run.revision + 1)
        self.tasks[key] = new
        return new

    def newly(self, state: TaskState) -> list[TaskRow]:
        """The task instances that went to ``state``, and were in another one when they were written last."""
        rows = ((old, self.tasks[self.keys[ident]]) for ident, old in self._changed.items())
        return [row for old, row in rows if row.state is state is not old]

    def rename_task(self, was: TaskKey, key: TaskKey, item: int) -> None:
        """Let a placeholder become an instance of its task."""
        self.change_task(was, map_index=key.map_index, scope=key.scope, item=item)
        row = self.tasks.pop(was)
        self.tasks[key] = row
        self.keys[row.id] = key

    def add_task(self, task: NewTask) -> TaskRow:
        """Add a task instance without a state; it gets its row id when it is written."""
        ident = -len(self._new) - 1
        row = new_row(task, ident, self.run.id, self.run.revision + 1)
        self._new[ident] = None
        self.tasks[row.key] = row
        self.keys[ident] = row.key
        return row

    def change_run(self, **changes: Any) -> None:
        """Give columns of the run new values."""
        self.run = replace(self.run, **changes)
        self._run_changed = True

    def note_ending(self, ending: RunEnding | None) -> None:
        """Note why a run that still goes on is being ended, or that it is ended no more.

        One that has no time left, because the next run is due, ends for that all the same.
        """
        if self.run.ending not in (ending, RunEnding.OVERLAP):
            self.change_run(ending=ending)

    def finish_run(self, state: RunState, now: datetime, reason: str = "", ending: RunEnding | None = None) -> None:
        """End the run.

        :param ending: why it ends before its tasks came to their own end, if it does.
        """
        self.change_run(state=state, end_date=now, deadline_at=None, reason=reason, ending=ending)

    def give_up(self, now: datetime, reason: str, ending: RunEnding) -> None:
        """End a run that has not begun: what is not finished is skipped, and the run fails."""
        changes = {"state": TaskState.SKIPPED, "cut_short": True, "due_at": None, "end_date": now, "reason": reason}
        for key, task in list(self.tasks.items()):
            if task.state not in FINISHED_TASK_STATES:
                self.change_task(key, **changes)
        self.finish_run(RunState.FAILED, now, reason, ending)

    def requeue_run(self) -> None:
        """Send a finished run back to wait for its turn, because some of its tasks were cleared."""
        if self.run.state in FINISHED_RUN_STATES:
            nothing = {"end_date": None, "deadline_at": None, "start_date": None, "ending": None, "reason": ""}
            self.change_run(state=RunState.QUEUED, **nothing)

    def soonest_due(self) -> datetime | None:
        """The first timer among what was changed and not yet written."""
        due = [self.tasks[self.keys[ident]].due_at for ident in self._changed]
        if self._run_changed:
            due.append(self.run.deadline_at)
        return min((moment for moment in due if moment is not None), default=None)

    def flush(self, connection: Connection) -> None:
        """Write what was changed.

        :raises Conflict: when a row is not as it was loaded, which the lock should have prevented.
        """
        if not self.is_changed:
            return
        self.write_tasks(connection)
        self.run = replace(self.run, revision=self.run.revision + 1)
        if not move_runs(connection, [self._move()]):
            raise Conflict(f"The run {self.run.dag_id} {self.run.run_id} changed in between.")
        self._run_was = self.run.state
        self._run_changed = False

    def write_tasks(self, connection: Connection) -> None:
        """Write the task instances already, because a query of this transaction looks for them; :meth:`flush` follows.

        :raises Conflict: as :meth:`flush` does.
        """
        if not self._changed and not self._new:
            return
        changed = [(old, self.tasks[self.keys[ident]]) for ident, old in self._changed.items()]
        if changed and len(move_tasks(connection, changed)) != len(changed):
            raise Conflict(f"The task instances of {self.run.dag_id} {self.run.run_id} changed in between.")
        drop_triggers(connection, [row.id for old, row in changed if old is TaskState.DEFERRED is not row.state])
        self._changed.clear()
        self._insert_new(connection)
        self._run_changed = True

    def _insert_new(self, connection: Connection) -> None:
        rows = [self.tasks[self.keys.pop(ident)] for ident in self._new]
        for key, ident in add_tasks(connection, rows).items():
            self.tasks[key] = replace(self.tasks[key], id=ident)
            self.keys[ident] = key
        self._new.clear()

    def _move(self) -> RunMove:
        run = self.run
        return RunMove(
            id=run.id,
            old=self._run_was,
            new=run.state,
            revision=run.revision,
            version_id=run.version_id,
            start_date=run.start_date,
            end_date=run.end_date,
            deadline_at=run.deadline_at,
            ending=run.ending,
            reason=run.reason,
        )


def new_row(task: NewTask, ident: int, dag_run_id: int, revision: int) -> TaskRow:
    """The row of a task instance that has no state yet."""
    return TaskRow(
        id=ident,
        dag_run_id=dag_run_id,
        revision=revision,
        label="",
        state=TaskState.NONE,
        try_number=0,
        crashes=0,
        due_at=None,
        reschedules=0,
        first_start=None,
        resume=None,
        cut_short=False,
        leaves_out=None,
        scheduled_at=None,
        start_date=None,
        end_date=None,
        reason="",
        **values_of(task),
    )
