"""Pin a whole run to the newest version of its DAG: tasks that are gone are removed, new ones are added."""

from __future__ import annotations

from dataclasses import dataclass, field

from clockmill.actions.create import lane_of, new_task
from clockmill.actions.plan import Scene, TaskChange, cleared
from clockmill.serde import Document
from clockmill.state import Node, TaskKey, TaskState
from clockmill.state.graph import depth_of
from clockmill.storage.bulk import DEFINED
from clockmill.storage.records import NewTask, TaskRow


@dataclass(slots=True)
class Repinned:
    """What another version changes in a run, besides what is cleared."""

    tasks: list[TaskChange] = field(default_factory=list)
    added: list[NewTask] = field(default_factory=list)
    redefined: list[tuple[int, NewTask]] = field(default_factory=list)


def repin(scene: Scene, document: Document) -> Repinned:
    """What the version ``document`` changes in a run; states are kept where the task is still the same kind of task.

    A task that is mapped now and was not, or the other way round, begins afresh, as a new one does.
    """
    found = Repinned()
    begun = {row.task_id for row in scene.rows if _compare(scene, document, row, found)}
    lane = lane_of(scene.run)
    found.added = [
        new_task(task, TaskKey(task.task_id), lane=lane) for task in document.tasks if task.task_id not in begun
    ]
    return found


def _compare(scene: Scene, document: Document, row: TaskRow, found: Repinned) -> bool:
    """Note what becomes of a task instance; returns whether it stands for its task in the new version."""
    before, now = scene.document.graph().get(row.task_id), document.graph().get(row.task_id)
    if now is not None and _is_same_kind(row, before, now):
        _keep(scene, document, row, found, is_back=row.state is TaskState.REMOVED and before is None)
        return True
    is_busy = row.id in scene.busy
    if now is not None and row.key == TaskKey(row.task_id):
        if row.state is not TaskState.NONE:
            found.tasks.append(cleared(row, document.task(row.task_id).retries, is_busy=is_busy))
        return True
    if row.state is not TaskState.REMOVED:
        becomes = "is stopped and removed" if is_busy else "removed"
        found.tasks.append(TaskChange(row=row, to=TaskState.REMOVED, becomes=becomes, max_tries=row.max_tries))
    return False


def _is_same_kind(row: TaskRow, before: Node | None, now: Node) -> bool:
    if not _is_mapped(now):
        return row.key == TaskKey(row.task_id) and (before is None or not _is_mapped(before))
    if before is None:
        return depth_of(row.scope) <= len(now.groups)
    return (before.expansion is None, len(before.groups)) == (now.expansion is None, len(now.groups))


def _is_mapped(node: Node) -> bool:
    return node.expansion is not None or bool(node.groups)


def _keep(scene: Scene, document: Document, row: TaskRow, found: Repinned, *, is_back: bool) -> None:
    definition = document.task(row.task_id)
    task = new_task(definition, row.key)
    if any(getattr(row, name) != getattr(task, name) for name in DEFINED):
        found.redefined.append((row.id, task))
    if is_back:
        found.tasks.append(cleared(row, definition.retries, is_busy=row.id in scene.busy))
