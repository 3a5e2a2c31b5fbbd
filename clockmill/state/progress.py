"""How a run moves on: from the states of its task instances to what may run, is skipped, or cannot run any more.

Pure: a :class:`Progress` is built from rows, told of changes, and answers with further changes. A finished task costs
as many steps as it has direct downstream tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from clockmill.state.rules import Decision, TriggerRule, UpstreamCounts, Verdict, judge
from clockmill.state.states import FAILED_TASK_STATES, FINISHED_TASK_STATES, RunState, TaskState


@dataclass(frozen=True, slots=True)
class Node:
    """One task as the rules see it.

    :param is_empty: it does nothing, so it succeeds without an attempt.
    """

    task_id: str
    upstream: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()
    rule: TriggerRule = TriggerRule.ALL_SUCCESS
    is_empty: bool = False


Graph = Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Change:
    """A task instance goes to ``state``, for ``reason``."""

    task_id: str
    state: TaskState
    reason: str


_NEXT_STATE = {
    Decision.RUN: TaskState.SCHEDULED,
    Decision.SKIP: TaskState.SKIPPED,
    Decision.UPSTREAM_FAILED: TaskState.UPSTREAM_FAILED,
}


class Progress:
    """The states of one run and their upstream counters.

    :param graph: the tasks of the run's pinned version.
    :param states: the state of each task instance; a task that is missing counts as ``none``.
    :param left_out: task ids that branches and short circuits of this run skip.
    """

    def __init__(self, graph: Graph, states: Mapping[str, TaskState], left_out: Iterable[str] = ()) -> None:
        self._graph = graph
        self._states = {task_id: states.get(task_id, TaskState.NONE) for task_id in graph}
        self._left_out = set(left_out)
        self._counts = {task_id: UpstreamCounts(total=len(node.upstream)) for task_id, node in graph.items()}
        for task_id, state in self._states.items():
            self._count_below(task_id, state, 1)
        self._unfinished = sum(state not in FINISHED_TASK_STATES for state in self._states.values())
        # A dictionary is a set that keeps its order, so that the same rows give the same answer everywhere.
        self._waiting = dict.fromkeys(t for t, state in self._states.items() if state is TaskState.NONE)

    def state_of(self, task_id: str) -> TaskState:
        """The state of a task as this object knows it."""
        return self._states[task_id]

    def record(self, task_id: str, state: TaskState, leaves_out: Iterable[str] = ()) -> None:
        """Take in that a task went to ``state`` and, when it is a branch, which tasks it leaves out."""
        old = self._states[task_id]
        self._states[task_id] = state
        if old is not state:
            self._count_below(task_id, old, -1)
            self._count_below(task_id, state, 1)
            self._unfinished += (old in FINISHED_TASK_STATES) - (state in FINISHED_TASK_STATES)
            self._waiting.update(dict.fromkeys(self._graph[task_id].downstream))
        if state is TaskState.NONE:
            self._waiting[task_id] = None
        for other in leaves_out:
            self._left_out.add(other)
            self._waiting[other] = None

    def settle(self) -> list[Change]:
        """Every change that follows from what was recorded, in the order in which it follows."""
        return list(self._settle())

    def _settle(self) -> Iterator[Change]:
        while self._waiting:
            task_id = next(iter(self._waiting))
            del self._waiting[task_id]
            if task_id not in self._graph or self._states[task_id] is not TaskState.NONE:
                continue
            verdict = self.verdict(task_id)
            if verdict.decision is Decision.WAIT:
                continue
            state = _NEXT_STATE[verdict.decision]
            if state is TaskState.SCHEDULED and self._graph[task_id].is_empty:
                state = TaskState.SUCCESS
            self.record(task_id, state)
            yield Change(task_id, state, verdict.reason)

    def verdict(self, task_id: str) -> Verdict:
        """What holds for a task that has no state yet, and why."""
        if task_id in self._left_out:
            return Verdict(Decision.SKIP, "left out by a branch or short circuit above")
        return judge(self._graph[task_id].rule, self._counts[task_id])

    def outcome(self) -> RunState:
        """The state of the run: a function of its task instances alone."""
        if self._unfinished:
            return RunState.RUNNING
        leaves = (self._states[task_id] for task_id, node in self._graph.items() if not node.downstream)
        return RunState.FAILED if any(state in FAILED_TASK_STATES for state in leaves) else RunState.SUCCESS

    def _count_below(self, task_id: str, state: TaskState, amount: int) -> None:
        if state in FINISHED_TASK_STATES:
            for below in self._graph[task_id].downstream:
                self._counts[below].add(state, amount)


def descendants(graph: Graph, task_id: str) -> set[str]:
    """Every task below ``task_id``, not itself."""
    return _reach(graph, graph[task_id].downstream)


def left_out_by(graph: Graph, task_id: str, *, branch: list[str] | None, skips: str | None) -> list[str]:
    """The tasks that a branch or a short circuit leaves out, sorted.

    :param branch: the task ids followed; the other direct downstream tasks are left out, unless a followed task
        leads to them. An empty list follows nothing.
    :param skips: ``downstream`` leaves out all below, ``direct`` those directly below.
    """
    if skips == "downstream":
        return sorted(descendants(graph, task_id))
    direct = set(graph[task_id].downstream)
    if skips == "direct":
        return sorted(direct)
    if branch is None:
        return []
    followed = {name for name in branch if name in graph}
    return sorted(direct - followed - _reach(graph, followed))


def _reach(graph: Graph, start: Iterable[str]) -> set[str]:
    found: set[str] = set()
    todo = list(start)
    while todo:
        task_id = todo.pop()
        if task_id not in found:
            found.add(task_id)
            todo.extend(graph[task_id].downstream)
    return found
