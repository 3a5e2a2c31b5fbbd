"""Which runs and which task instances a person means: pure, over rows and the document of a version."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from clockmill.errors import EmptyRange, NotFound, UsageError
from clockmill.serde import Document
from clockmill.state import FAILED_TASK_STATES, Graph, TaskState, ancestors, descendants
from clockmill.state.graph import common_depth, cut, reach, setups_of, teardowns_of
from clockmill.storage.records import TaskRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSelection:
    """Some runs of a DAG; all of them when nothing narrows them down.

    :param run_ids: only these; each has to exist.
    :param since: only those whose logical date is not before; a run without one counts by when it was due.
    :param until: only those whose logical date is not after.
    :raises EmptyRange: when it is before ``since``.
    """

    dag_id: str
    run_ids: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.until < self.since:
            raise EmptyRange(f"{self.since:%Y-%m-%d %H:%M:%S} UTC", f"{self.until:%Y-%m-%d %H:%M:%S} UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSelection:
    """Some task instances of a run; all of them when nothing narrows them down.

    :param names: these tasks exactly, each with the map index that is meant, or None for all of its instances.
    :param patterns: tasks in whose id one of these regular expressions is found.
    :param groups: tasks of these groups and of the groups in them.
    :param map_index: of the tasks chosen so far, only this instance.
    :param upstream: whatever is above them as well.
    :param downstream: whatever is below them as well.
    :param only_failed: of all these, only what failed or could not run because of a failure.
    :param only_running: of all these, only what is running; with ``only_failed``, either.
    """

    names: tuple[tuple[str, int | None], ...] = ()
    patterns: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    map_index: int | None = None
    upstream: bool = False
    downstream: bool = False
    only_failed: bool = False
    only_running: bool = False

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise UsageError(f"{pattern!r} is no regular expression: {error}.") from None


class Chooser:
    """A selection of tasks over one version of a DAG.

    :raises NotFound: when one of the names, patterns or groups is not in that version.
    """

    def __init__(self, document: Document, selection: TaskSelection) -> None:
        self.graph: Graph = document.graph()
        self._selection = selection
        self._named = _named(document, selection)
        self._has_setups = any(node.is_setup for node in self.graph.values())

    def rows(self, tasks: Iterable[TaskRow], *, with_setups: bool) -> list[TaskRow]:
        """The task instances chosen, in the order in which they were made.

        :param with_setups: their setups and teardowns too, in whatever state they are.
        """
        by_task = grouped(tasks)
        wanted = self._by_state(self._reached(by_task))
        if with_setups and self._has_setups:
            wanted |= self.around(by_task, wanted.values())
        return sorted(wanted.values(), key=lambda row: row.id)

    def around(self, by_task: Mapping[str, list[TaskRow]], rows: Iterable[TaskRow]) -> dict[int, TaskRow]:
        """The setups and teardowns that belong to task instances, by row id."""
        return self._beside(by_task, rows, lambda task_id: setups_and_teardowns(self.graph, task_id))

    def below(self, by_task: Mapping[str, list[TaskRow]], rows: Iterable[TaskRow]) -> dict[int, TaskRow]:
        """The task instances below others, by row id."""
        if not self.graph.mapped_groups:  # one walk for all of them
            starts = {below for row in rows for below in self.graph[row.task_id].downstream}
            return {row.id: row for task_id in reach(self.graph, starts) for row in by_task.get(task_id, ())}
        return self._beside(by_task, rows, lambda task_id: descendants(self.graph, task_id))

    def _reached(self, by_task: Mapping[str, list[TaskRow]]) -> dict[int, TaskRow]:
        named = [
            row
            for task_id, indexes in self._named.items()
            for row in by_task.get(task_id, ())
            if None in indexes or row.map_index in indexes
        ]
        found = {row.id: row for row in named}
        if self._selection.downstream:
            found |= self.below(by_task, named)
        if self._selection.upstream:
            found |= self._beside(by_task, named, lambda task_id: _above(self.graph, task_id))
        return found

    def _by_state(self, rows: dict[int, TaskRow]) -> dict[int, TaskRow]:
        wanted: set[TaskState] = set()
        if self._selection.only_failed:
            wanted |= FAILED_TASK_STATES
        if self._selection.only_running:
            wanted.add(TaskState.RUNNING)
        return {ident: row for ident, row in rows.items() if row.state in wanted} if wanted else rows

    def _beside(
        self, by_task: Mapping[str, list[TaskRow]], rows: Iterable[TaskRow], relatives: Callable[[str], set[str]]
    ) -> dict[int, TaskRow]:
        """The instances of related tasks; where both are in a mapped group, only those of the same instance of it."""
        found = {}
        for task_id, anchors in grouped(rows).items():
            for other in relatives(task_id):
                depth = common_depth(self.graph[task_id].groups, self.graph[other].groups)
                prefixes = {cut(row.scope, depth) for row in anchors}
                found.update({row.id: row for row in by_task.get(other, ()) if cut(row.scope, depth) in prefixes})
        return found


def grouped(rows: Iterable[TaskRow]) -> dict[str, list[TaskRow]]:
    """Task instances by the task that they belong to."""
    found: dict[str, list[TaskRow]] = defaultdict(list)
    for row in rows:
        found[row.task_id].append(row)
    return dict(found)


def setups_and_teardowns(graph: Graph, task_id: str) -> set[str]:
    """What has to run again with a task: the setups that it needs, and the teardowns that end them."""
    setups = setups_of(graph, task_id)
    return setups.union(*(teardowns_of(graph, setup) for setup in setups))


def _above(graph: Graph, task_id: str) -> set[str]:
    """The tasks above one, with the teardowns of the setups among them."""
    found = ancestors(graph, task_id)
    teardowns = {name for above in found if graph[above].is_setup for name in teardowns_of(graph, above)}
    return found | teardowns - {task_id}


def _named(document: Document, selection: TaskSelection) -> dict[str, set[int | None]]:
    """The tasks that a selection begins with, each with the map indexes that are meant."""
    graph = document.graph()
    if selection.names:
        named: dict[str, set[int | None]] = defaultdict(set)
        for task_id, index in selection.names:
            if task_id not in graph:
                raise NotFound("task", task_id, graph)
            named[task_id].add(index)
        return dict(named)
    wanted = _of_groups(document, selection.groups) & _matching(graph, selection.patterns)
    return {task_id: {selection.map_index} for task_id in graph if task_id in wanted}


def _matching(graph: Graph, patterns: tuple[str, ...]) -> set[str]:
    found = set() if patterns else set(graph)
    for pattern in patterns:
        expression = re.compile(pattern)
        matches = {task_id for task_id in graph if expression.search(task_id)}
        if not matches:
            raise NotFound("task that matches", pattern, graph)
        found |= matches
    return found


def _of_groups(document: Document, wanted: tuple[str, ...]) -> set[str]:
    if not wanted:
        return {task.task_id for task in document.tasks}
    parents = {group.group_id: group.parent for group in document.groups}
    for group_id in wanted:
        if group_id not in parents:
            raise NotFound("task group", group_id, parents)
    return {task.task_id for task in document.tasks if _is_inside(task.group, parents, wanted)}


def _is_inside(group: str | None, parents: Mapping[str, str | None], wanted: tuple[str, ...]) -> bool:
    while group is not None:
        if group in wanted:
            return True
        group = parents.get(group)
    return False
