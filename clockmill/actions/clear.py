"""Clear task instances, so that they run again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from clockmill.actions.plan import RunPlan, Scene, TaskChange, cleared
from clockmill.actions.repin import Repinned, repin
from clockmill.actions.selection import RunSelection, TaskSelection
from clockmill.events import EventKind
from clockmill.serde import Document
from clockmill.state import CLEARED_TASK_STATES, FINISHED_RUN_STATES, FINISHED_TASK_STATES, RunState, TaskState
from clockmill.storage.records import TaskRow

#: There is nothing to clear in these: nothing was decided yet, it is being cleared, or its version does not have it.
_NOTHING_TO_CLEAR = CLEARED_TASK_STATES | {TaskState.REMOVED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear:
    """Let task instances run again, with their setups and teardowns; what runs is stopped first.

    They get all of their tries and the whole crash budget again, and the values that they left are dropped. A finished
    run goes back to wait for its turn.

    :param newest_version: pin the whole run to the newest version of its DAG before.
    """

    runs: RunSelection
    tasks: TaskSelection = field(default_factory=TaskSelection)
    newest_version: bool = False

    def plan(self, scene: Scene) -> RunPlan:
        """What would become of one run."""
        run, versions = scene.run, scene.versions
        version_id = versions.newest or run.version_id if self.newest_version else run.version_id
        chosen = versions.chooser(version_id, self.tasks).rows(scene.rows, with_setups=True)
        document = versions.document(version_id)
        moved = repin(scene, document) if version_id != run.version_id else Repinned()
        changes = {change.row.id: change for change in clear_changes(scene, document, chosen)}
        changes |= {change.row.id: change for change in moved.tasks}
        return plan_of_clear(scene, changes.values(), moved, version_id)


def clear_changes(scene: Scene, document: Document, rows: Collection[TaskRow]) -> list[TaskChange]:
    """What clearing these task instances does to those of them that have something to clear."""
    return [
        cleared(row, document.task(row.task_id).retries, is_busy=row.id in scene.busy)
        for row in rows
        if row.state not in _NOTHING_TO_CLEAR
    ]


def plan_of_clear(scene: Scene, changes: Collection[TaskChange], moved: Repinned, version_id: int) -> RunPlan:
    """A run in which these changes are made: once it was finished, it waits for its turn again."""
    again = bool(moved.added) or any(change.to not in FINISHED_TASK_STATES for change in changes)
    was_over = scene.run.state in FINISHED_RUN_STATES
    return RunPlan(
        run=scene.run,
        rows=scene.rows,
        tasks=tuple(sorted(changes, key=lambda change: change.row.id)),
        added=tuple(moved.added),
        redefined=tuple(moved.redefined),
        to=RunState.QUEUED if again and was_over else scene.run.state,
        version_id=version_id,
        kind=EventKind.TASKS_CLEARED,
        verb="cleared",
    )
