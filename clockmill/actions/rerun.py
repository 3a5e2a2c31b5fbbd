"""Run a run again: all of it, or from where it failed."""

from __future__ import annotations

from dataclasses import dataclass

from clockmill.actions.clear import clear_changes, plan_of_clear
from clockmill.actions.plan import RunPlan, Scene
from clockmill.actions.repin import Repinned
from clockmill.actions.selection import RunSelection, TaskSelection, grouped
from clockmill.state import FAILED_TASK_STATES, FINISHED_TASK_STATES, TaskState
from clockmill.storage.records import TaskRow

_EVERYTHING = TaskSelection()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """Run runs again.

    :param from_failure: only what failed, what could not run or was skipped below it, and what was cut short when the
        run ended early; successes stay, but the setups and teardowns of what runs again run again too.
    """

    runs: RunSelection
    from_failure: bool = False

    def plan(self, scene: Scene) -> RunPlan:
        """What would become of one run."""
        rows = _failed(scene) if self.from_failure else scene.rows
        changes = clear_changes(scene, scene.document, rows)
        return plan_of_clear(scene, changes, Repinned(), scene.run.version_id)


def _failed(scene: Scene) -> list[TaskRow]:
    chooser = scene.versions.chooser(scene.run.version_id, _EVERYTHING)
    by_task = grouped(row for row in scene.rows if row.task_id in chooser.graph)
    causes = [row for rows in by_task.values() for row in rows if _is_cause(row)]
    again = {row.id: row for row in causes}
    for ident, row in chooser.below(by_task, causes).items():
        if row.state in FINISHED_TASK_STATES and row.state is not TaskState.SUCCESS:
            again[ident] = row
    return list((again | chooser.around(by_task, again.values())).values())


def _is_cause(row: TaskRow) -> bool:
    return row.cut_short or row.state in FAILED_TASK_STATES
