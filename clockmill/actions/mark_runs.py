"""Say by hand how a run ended, or stop it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clockmill.actions.mark import marks
from clockmill.actions.plan import RunPlan, Scene, TaskChange, outcome
from clockmill.actions.selection import RunSelection, grouped
from clockmill.events import EventKind
from clockmill.state import (
    BEGUN_TASK_STATES,
    FAILED_TASK_STATES,
    FINISHED_RUN_STATES,
    FINISHED_TASK_STATES,
    RunEnding,
    RunState,
    TaskState,
)
from clockmill.state.graph import common_depth, cut
from clockmill.storage.records import TaskRow

_STOPPED = "run stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRuns:
    """Stop runs that are not finished: what runs is stopped and fails, what has not begun is skipped, the run fails.

    Teardowns whose setup ran are left to clean up before the run ends.
    """

    runs: RunSelection

    def plan(self, scene: Scene) -> RunPlan:
        """What would become of one run."""
        if scene.run.state in FINISHED_RUN_STATES:
            return _plan(scene, [], scene.run.state, "", EventKind.RUN_STOPPED, _STOPPED)
        return _end(scene, EventKind.RUN_STOPPED, _STOPPED, RunEnding.STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRuns:
    """Put runs into a finished state.

    ``success``: all of their tasks become success. ``failed``: as :class:`StopRuns`, and a run that succeeded fails.
    ``skipped``: what is not finished becomes skipped, and the run ends as its tasks say.

    :param state: one of :data:`clockmill.state.MARKS`.
    """

    runs: RunSelection
    state: TaskState

    def plan(self, scene: Scene) -> RunPlan:
        """What would become of one run."""
        is_over = scene.run.state in FINISHED_RUN_STATES
        if self.state is TaskState.FAILED and not is_over:
            return replace(
                _end(scene, EventKind.RUN_MARKED, f"run marked {self.state}", RunEnding.MARKED), mark=self.state
            )
        if self.state is TaskState.FAILED:
            ending = None if scene.run.state is RunState.FAILED else RunEnding.MARKED
            return replace(self._planned(scene, [], RunState.FAILED), ending=ending)
        spared = {row.id for row in _needed_teardowns(scene)}
        rows = [row for row in scene.rows if row.id not in spared]
        if self.state is TaskState.SKIPPED:
            rows = [row for row in rows if row.state not in FINISHED_TASK_STATES]
        changes = marks(scene, rows, self.state)
        if spared:
            return self._planned(scene, changes, scene.run.state, "ends when its teardowns are done")
        if self.state is TaskState.SUCCESS:
            return self._planned(scene, changes, RunState.SUCCESS)
        return self._planned(
            scene, changes, outcome(scene.document, scene.rows, changes) if changes else scene.run.state
        )

    def _planned(self, scene: Scene, changes: list[TaskChange], to: RunState, later: str = "") -> RunPlan:
        return replace(
            _plan(scene, changes, to, later, EventKind.RUN_MARKED, f"run marked {self.state}"), mark=self.state
        )


def _plan(scene: Scene, changes: Sequence[TaskChange], to: RunState, later: str, kind: EventKind, verb: str) -> RunPlan:
    return RunPlan(
        run=scene.run,
        rows=scene.rows,
        tasks=tuple(changes),
        to=to,
        version_id=scene.run.version_id,
        later=later,
        kind=kind,
        verb=verb,
    )


def _end(scene: Scene, kind: EventKind, verb: str, ending: RunEnding) -> RunPlan:
    """A run that is to fail: at once, or when the teardowns that it needs are done."""
    open_rows = [row for row in scene.rows if row.state not in FINISHED_TASK_STATES]
    spared = {row.id for row in _needed_teardowns(scene)}
    changes = _ended(scene, [row for row in open_rows if row.id not in spared], bool(spared))
    if spared and _will_fail(scene, changes):
        plan = _plan(scene, changes, scene.run.state, "fails when its teardowns are done", kind, verb)
    else:
        plan = _plan(scene, _ended(scene, open_rows, False), RunState.FAILED, "", kind, verb)
    return replace(plan, ending=ending)


def _ended(scene: Scene, rows: Sequence[TaskRow], goes_on: bool) -> list[TaskChange]:
    """What has begun fails, the rest is skipped; of a run that goes on to its teardowns, the leaves fail.

    That run is judged by its leaves in the end, and a skipped one would let it succeed.
    """
    leaves = set(scene.document.graph().leaves) if goes_on else set()
    failed = {row.id for row in rows if row.state in BEGUN_TASK_STATES or row.task_id in leaves}
    changes = marks(scene, [row for row in rows if row.id in failed], TaskState.FAILED)
    changes += marks(scene, [row for row in rows if row.id not in failed], TaskState.SKIPPED)
    return sorted(changes, key=lambda change: change.row.id)


def _will_fail(scene: Scene, changes: Sequence[TaskChange]) -> bool:
    """Whether a leaf has failed, or will by these changes."""
    to = {change.row.id: change.to for change in changes}
    leaves = set(scene.document.graph().leaves)
    return any(to.get(row.id, row.state) in FAILED_TASK_STATES for row in scene.rows if row.task_id in leaves)


def _needed_teardowns(scene: Scene) -> list[TaskRow]:
    """The unfinished teardowns that have something to clean up: they have begun, or one of their setups ran."""
    graph, by_task = scene.document.graph(), grouped(scene.rows)
    return [
        row
        for row in scene.rows
        if row.task_id in graph
        and graph[row.task_id].is_teardown
        and row.state not in FINISHED_TASK_STATES
        and (row.state in BEGUN_TASK_STATES or _has_setup(scene, by_task, row))
    ]


def _has_setup(scene: Scene, by_task: dict[str, list[TaskRow]], teardown: TaskRow) -> bool:
    graph = scene.document.graph()
    node = graph[teardown.task_id]
    for above in node.upstream:
        depth = common_depth(node.groups, graph[above].groups)
        prefix = cut(teardown.scope, depth)
        if graph[above].is_setup and any(
            row.state is TaskState.SUCCESS and cut(row.scope, depth) == prefix for row in by_task.get(above, ())
        ):
            return True
    return False
