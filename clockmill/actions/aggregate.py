"""A run with its task instances, changed as one: the only way in which either changes.

The caller holds the run's row. Changes are gathered in memory and written by :meth:`RunAggregate.flush`, each stamped
with the run's next revision, so that whoever keeps this run in memory can tell what it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from clockmill.errors import Conflict
from clockmill.state import FINISHED_RUN_STATES, RunState, TaskState
from clockmill.storage.engine import Connection
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.transitions import RunMove, move_runs, move_tasks

TaskKey = tuple[str, int]


class RunAggregate:
    """One run under its lock.

    :param run: its row, held.
    :param tasks: all of its task instances.
    """

    def __init__(self, run: RunRow, tasks: Iterable[TaskRow]) -> None:
        self.run = run
        self.tasks: dict[TaskKey, TaskRow] = {(task.task_id, task.map_index): task for task in tasks}
        self.keys: dict[int, TaskKey] = {row.id: key for key, row in self.tasks.items()}
        self._changed: dict[TaskKey, TaskState] = {}
        self._run_was = run.state
        self._run_changed = False

    @property
    def is_changed(self) -> bool:
        """Whether there is something to write."""
        return self._run_changed or bool(self._changed)

    @property
    def has_moved(self) -> bool:
        """Whether the run itself goes to another state."""
        return self.run.state is not self._run_was

    def change_task(self, key: TaskKey, **changes: Any) -> TaskRow:
        """Give columns of a task instance new values; returns the row as it will be written."""
        old = self.tasks[key]
        self._changed.setdefault(key, old.state)
        new = replace(old, **changes, revision=self.run.revision + 1)
        self.tasks[key] = new
        return new

    def change_run(self, **changes: Any) -> None:
        """Give columns of the run new values."""
        self.run = replace(self.run, **changes)
        self._run_changed = True

    def finish_run(self, state: RunState, now: datetime, reason: str = "") -> None:
        """End the run."""
        self.change_run(state=state, end_date=now, deadline_at=None, reason=reason)

    def requeue_run(self, now: datetime) -> None:
        """Send a finished run back to wait for its turn, because some of its tasks were cleared."""
        if self.run.state in FINISHED_RUN_STATES:
            self.change_run(state=RunState.QUEUED, end_date=None, deadline_at=None, start_date=None, reason="")

    def soonest_due(self) -> datetime | None:
        """The first timer among what was changed and not yet written."""
        due = [self.tasks[key].due_at for key in self._changed]
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
        changed = [(old, self.tasks[key]) for key, old in self._changed.items()]
        if not changed:
            return
        if len(move_tasks(connection, changed)) != len(changed):
            raise Conflict(f"The task instances of {self.run.dag_id} {self.run.run_id} changed in between.")
        self._changed.clear()
        self._run_changed = True

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
            reason=run.reason,
        )
