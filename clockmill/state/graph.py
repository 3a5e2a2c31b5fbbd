"""The tasks and edges of a DAG version as the rules see them, mapped groups included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from clockmill.state.expansion import Expansion
from clockmill.state.rules import TriggerRule


class TaskKey(NamedTuple):
    """What tells a task instance from the others of its run.

    :param map_index: unique among the instances of the task; -1 for a task that is not expanded, or not yet.
    :param scope: which instance of the mapped groups around it belongs to: ``"2"``, ``"2.0"``; empty outside.
    """

    task_id: str
    map_index: int = -1
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One task as the rules see it.

    :param is_empty: it does nothing, so it succeeds without an attempt.
    :param fails_run: whether the failure of a teardown counts for the run.
    :param expansion: what it is mapped over, or None.
    :param groups: the mapped groups around it, from the outside in.
    """

    task_id: str
    upstream: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()
    rule: TriggerRule = TriggerRule.ALL_SUCCESS
    is_empty: bool = False
    is_setup: bool = False
    is_teardown: bool = False
    fails_run: bool = False
    expansion: Expansion | None = None
    groups: tuple[str, ...] = ()

    @property
    def counts_for_run(self) -> bool:
        """Whether its failure at the end of the DAG fails the run."""
        return not self.is_teardown or self.fails_run


@dataclass(frozen=True, slots=True)
class MappedGroup:
    """A task group that is mapped.

    :param groups: the mapped groups around it, from the outside in, itself last.
    """

    group_id: str
    expansion: Expansion
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """One direct dependency.

    :param below: the id of the task, or of the mapped group.
    :param depth: how many mapped groups are around both ends: that far their instances belong together.
    """

    below: str
    depth: int


class Graph(dict[str, Node]):
    """Task id -> node.

    :param mapped_groups: group id -> the mapped groups.
    """

    def __init__(self, nodes: Mapping[str, Node], mapped_groups: Mapping[str, MappedGroup] | None = None) -> None:
        super().__init__(nodes)
        self.mapped_groups = dict(mapped_groups or {})

    @cached_property
    def edges(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that lead down from each task: to tasks, and to mapped groups that are mapped over its value."""
        found = {
            task_id: [Edge(below, common_depth(node.groups, self[below].groups)) for below in node.downstream]
            for task_id, node in self.items()
        }
        for group in self.mapped_groups.values():
            for task_id in sorted(group.expansion.task_ids()):
                found[task_id].append(Edge(group.group_id, common_depth(self[task_id].groups, group.groups[:-1])))
        return {task_id: tuple(edges) for task_id, edges in found.items()}

    @cached_property
    def members(self) -> Mapping[str, tuple[Node, ...]]:
        """The tasks inside each mapped group, those of groups in it included."""
        return {name: tuple(node for node in self.values() if name in node.groups) for name in self.mapped_groups}

    @cached_property
    def far_setups(self) -> Mapping[str, tuple[str, ...]]:
        """The setups that each task needs and that are not directly above it; tasks without any are left out."""
        if not any(node.is_setup for node in self.values()):
            return {}
        found = {task_id: sorted(setups_of(self, task_id) - set(node.upstream)) for task_id, node in self.items()}
        return {task_id: tuple(setups) for task_id, setups in found.items() if setups}

    @cached_property
    def far_below(self) -> Mapping[str, tuple[str, ...]]:
        """The tasks that need each setup without being directly below it."""
        found: dict[str, list[str]] = {}
        for task_id, setups in self.far_setups.items():
            for setup in setups:
                found.setdefault(setup, []).append(task_id)
        return {setup: tuple(tasks) for setup, tasks in found.items()}

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The tasks whose states decide about the run: the last ones, with teardowns left out of sight."""
        return tuple(
            task_id
            for task_id, node in self.items()
            if node.counts_for_run and not any(self[below].counts_for_run for below in node.downstream)
        )


def setups_of(graph: Mapping[str, Node], task_id: str) -> set[str]:
    """The setups above a task, however far, that are still needed where it stands.

    A setup of which a teardown lies above the task as well is over and done with. Setups and teardowns have none.
    """
    if graph[task_id].is_setup or graph[task_id].is_teardown:
        return set()
    below = descendants(graph, task_id)
    found = set()
    for above in ancestors(graph, task_id):
        if graph[above].is_setup:
            teardowns = teardowns_of(graph, above)
            if not teardowns or teardowns & below:
                found.add(above)
    return found


def teardowns_of(graph: Mapping[str, Node], setup: str) -> set[str]:
    """The teardowns that end a setup."""
    return {name for name in graph[setup].downstream if graph[name].is_teardown}


def common_depth(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many mapped groups two tasks have in common."""
    depth = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        depth += 1
    return depth


def cut(scope: str, depth: int) -> str:
    """The first ``depth`` parts of a scope."""
    if not depth or not scope:
        return ""
    return ".".join(scope.split(".", depth)[:depth])


def depth_of(scope: str) -> int:
    """How many parts a scope has."""
    return scope.count(".") + 1 if scope else 0


def inner(scope: str, index: int) -> str:
    """The scope of instance ``index`` of a group in ``scope``."""
    return f"{scope}.{index}" if scope else str(index)


def descendants(graph: Mapping[str, Node], task_id: str) -> set[str]:
    """Every task below ``task_id``, not itself."""
    return reach(graph, graph[task_id].downstream)


def ancestors(graph: Mapping[str, Node], task_id: str) -> set[str]:
    """Every task above ``task_id``, not itself."""
    found: set[str] = set()
    todo = list(graph[task_id].upstream)
    while todo:
        above = todo.pop()
        if above not in found:
            found.add(above)
            todo.extend(graph[above].upstream)
    return found


def left_out_by(graph: Mapping[str, Node], task_id: str, *, branch: list[str] | None, skips: str | None) -> list[str]:
    """The tasks that a branch or a short circuit leaves out, sorted. A teardown is left to its own rule.

    :param branch: the task ids followed; the other direct downstream tasks are left out, unless a followed task
        leads to them. An empty list follows nothing.
    :param skips: ``downstream`` leaves out all below, ``direct`` those directly below.
    """
    if skips == "downstream":
        found = descendants(graph, task_id)
    elif skips == "direct":
        found = set(graph[task_id].downstream)
    elif branch is None:
        found = set()
    else:
        followed = {name for name in branch if name in graph}
        found = set(graph[task_id].downstream) - followed - reach(graph, followed)
    return sorted(name for name in found if not graph[name].is_teardown)


def reach(graph: Mapping[str, Node], start: Iterable[str]) -> set[str]:
    """The tasks of ``start`` and every task below them."""
    found: set[str] = set()
    todo = list(start)
    while todo:
        task_id = todo.pop()
        if task_id not in found:
            found.add(task_id)
            todo.extend(graph[task_id].downstream)
    return found
