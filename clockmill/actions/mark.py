"""Say by hand how tasks ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clockmill.actions.clear import clear_changes
from clockmill.actions.plan import RunPlan, Scene, TaskChange, outcome
from clockmill.actions.selection import RunSelection, TaskSelection, grouped
from clockmill.events import EventKind
from clockmill.state import FAILED_TASK_STATES, FINISHED_RUN_STATES, FINISHED_TASK_STATES, RunState, TaskState
from clockmill.storage.records import TaskRow


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkTasks:
    """Put task instances into a finished state, whatever they are in; what runs is stopped, and its result not taken.

    Marked as success or skipped, they no longer stand in the way: what failed below them, or could not run, is
    decided again. A finished run of which nothing is to run again is judged anew by how its tasks stand then.

    :param state: one of :data:`clockmill.state.MARKS`.
    """

    runs: RunSelection
    tasks: TaskSelection
    state: TaskState

    def plan(self, scene: Scene) -> RunPlan:
        """What would become of one run."""
        run, chooser = scene.run, scene.versions.chooser(scene.run.version_id, self.tasks)
        chosen = chooser.rows(scene.rows, with_setups=False)
        marked = marks(scene, chosen, self.state)
        changes = {change.row.id: change for change in marked}
        if self.state is not TaskState.FAILED:
            by_task = grouped(scene.rows)
            known = {row.id for row in chosen}
            below = chooser.below(by_task, [change.row for change in marked]).values()
            again = [row for row in below if row.state in FAILED_TASK_STATES and row.id not in known]
            around = [row for row in chooser.around(by_task, again).values() if row.id not in known]
            cleared = clear_changes(scene, scene.document, {row.id: row for row in [*again, *around]}.values())
            changes |= {change.row.id: change for change in cleared}
        return RunPlan(
            run=run,
            rows=scene.rows,
            tasks=tuple(change for _, change in sorted(changes.items())),
            to=_run_state(scene, changes.values()),
            version_id=run.version_id,
            kind=EventKind.TASKS_MARKED,
            verb=f"marked {self.state}",
            mark=self.state,
        )


def marks(scene: Scene, rows: Iterable[TaskRow], state: TaskState) -> list[TaskChange]:
    """What marking these task instances does to those of them that are not in that state."""
    return [
        TaskChange(
            row=row,
            to=state,
            becomes=f"is stopped: {state}" if row.id in scene.busy else state.value,
            max_tries=row.max_tries,
        )
        for row in rows
        if row.state not in {state, TaskState.REMOVED}
    ]


def _run_state(scene: Scene, changes: Iterable[TaskChange]) -> RunState:
    """The state that a run goes to. One that ended otherwise than its tasks say, by a time-out or a mark, stays so."""
    changes = list(changes)
    state = scene.run.state
    if state not in FINISHED_RUN_STATES or not changes:
        return state
    if any(change.to not in FINISHED_TASK_STATES for change in changes):
        return RunState.QUEUED
    if outcome(scene.document, scene.rows) is not state:
        return state
    after = outcome(scene.document, scene.rows, changes)
    return after if after in FINISHED_RUN_STATES else state
