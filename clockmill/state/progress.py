"""How a run moves on: from the states of its task instances to what may run, is skipped, or cannot run any more.

Pure: a :class:`Progress` is built from rows, told of changes, and answers with further steps. A finished task instance
costs as many steps as its task has direct downstream tasks, however many instances these have.

One verdict holds for all instances of a *family*, because they have the same instances above them. A mapped task is a
family of one placeholder until it is known how long the value is that it is mapped over; likewise the tasks of a
mapped group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from clockmill.state.families import Family
from clockmill.state.graph import Graph, Node, TaskKey, common_depth, cut, depth_of
from clockmill.state.growth import Growth, ScopedLengths
from clockmill.state.rules import Decision, Verdict, judge
from clockmill.state.states import FAILED_TASK_STATES, FINISHED_TASK_STATES, RunState, TaskState
from clockmill.state.steps import Step
from clockmill.state.tally import Tally

#: How many instances a mapped task may have, where nothing else is said.
MAX_MAP_LENGTH = 10_000

#: Asked before a decision about a task is carried out: None lets it pass, a verdict holds it back and says why.
Gate = Callable[[str, Decision], Verdict | None]

_NEXT_STATE = {
    Decision.RUN: TaskState.SCHEDULED,
    Decision.SKIP: TaskState.SKIPPED,
    Decision.UPSTREAM_FAILED: TaskState.UPSTREAM_FAILED,
}
_LEFT_OUT = Verdict(Decision.SKIP, "left out by a branch or short circuit above")


def _no_lengths(_task_id: str, _key: str, _scope: str) -> int | None:
    return None


def _open_gate(_task_id: str, _decision: Decision) -> Verdict | None:
    return None


class Progress:
    """The states of one run, and what follows from them.

    :param graph: the tasks of the run's pinned version.
    :param states: the state of each task instance; a task of which there is none counts as one without a state.
    :param left_out: the branches and short circuits that left tasks out, with these tasks.
    :param max_map_length: how many instances a mapped task or group may have.
    """

    def __init__(
        self,
        graph: Mapping[str, Node],
        states: Mapping[TaskKey, TaskState],
        left_out: Iterable[tuple[TaskKey, Iterable[str]]] = (),
        *,
        max_map_length: int = MAX_MAP_LENGTH,
    ) -> None:
        self._graph = graph if isinstance(graph, Graph) else Graph(graph)
        self._tally = Tally(self._graph)
        self._families = self._tally.families
        self._growth = Growth(self._tally, max_map_length)
        for key, state in states.items():
            if key.task_id in self._graph:
                self._tally.add(key, state)
        for task_id in self._graph:
            if not self._families.of_task(task_id):
                self._tally.add(TaskKey(task_id), TaskState.NONE)
        for key, others in left_out:
            self._tally.leave_out(key, others)
        for group in self._graph.mapped_groups.values():
            self._tally.call(group, "")

    # --- what is known --------------------------------------------------------------------------------------------

    def state_of(self, key: TaskKey) -> TaskState:
        """The state of a task instance as this object knows it."""
        return self._families.state_of(key)

    def instances_under(self, task_id: str, prefix: str) -> list[TaskKey]:
        """The instances of a task in one instance of some of the groups around it."""
        return self._families.instances_under(task_id, prefix)

    def verdict(self, key: TaskKey) -> Verdict:
        """What holds for a task instance that has no state yet, and why."""
        return self._verdict(self._families.family_of(key))

    def outcome(self, *, fail_fast: bool = False) -> RunState:
        """The state of the run: a function of its task instances alone.

        :param fail_fast: whether any task that fails counts, be it a leaf or not.
        """
        if self._tally.unfinished:
            return RunState.RUNNING
        leaves = (state for task_id in self._graph.leaves for state in self._families.states_of_task(task_id))
        has_failed = any(state in FAILED_TASK_STATES for state in leaves) or (fail_fast and self._any_failed())
        return RunState.FAILED if has_failed else RunState.SUCCESS

    def _any_failed(self) -> bool:
        counting = (task_id for task_id, node in self._graph.items() if node.counts_for_run)
        return any(TaskState.FAILED in self._families.states_of_task(task_id) for task_id in counting)

    # --- what happens ---------------------------------------------------------------------------------------------

    def record(self, key: TaskKey, state: TaskState, leaves_out: Iterable[str] = ()) -> None:
        """Take in that a task instance went to ``state`` and, when it is a branch, which tasks it leaves out."""
        self._tally.record(key, state)
        self._tally.leave_out(key, leaves_out)

    def release(self, task_id: str) -> None:
        """Ask the gate again about a task that it held back."""
        self._tally.wake(task_id, "")

    def settle(self, lengths: ScopedLengths = _no_lengths, gate: Gate = _open_gate) -> list[Step]:
        """Every step that follows from what was recorded, in the order in which it follows."""
        return list(self._settle(lengths, gate))

    def _settle(self, lengths: ScopedLengths, gate: Gate) -> Iterator[Step]:
        calls, woken = self._tally.calls, self._tally.woken
        while calls or woken:
            if calls:
                group_id, scope = next(iter(calls))
                del calls[group_id, scope]
                yield from self._growth.expand_group(group_id, scope, lengths)
                continue
            family = next(iter(woken))
            del woken[family]
            if self._families.waiting(family):
                yield from self._settle_family(family, lengths, gate)

    def _settle_family(self, family: Family, lengths: ScopedLengths, gate: Gate) -> Iterator[Step]:
        verdict = self._verdict(family)
        if verdict.decision is Decision.WAIT or gate(family.task_id, verdict.decision) is not None:
            return
        node = self._graph[family.task_id]
        if verdict.decision is Decision.RUN and node.expansion is not None:
            yield from self._growth.expand_task(family, lengths)
        state = _NEXT_STATE[verdict.decision]
        if state is TaskState.SCHEDULED and node.is_empty:
            state = TaskState.SUCCESS
        yield from self._tally.change_all(self._families.waiting(family), state, verdict.reason)

    # --- verdicts -------------------------------------------------------------------------------------------------

    def _verdict(self, family: Family) -> Verdict:
        if self._tally.is_left_out(family):
            return _LEFT_OUT
        node = self._graph[family.task_id]
        verdict = judge(node.rule, self._tally.counts_of(family.task_id, family.scope))
        if verdict.decision is Decision.RUN and family.task_id in self._graph.far_setups:
            verdict = self._by_setups(family) or verdict
        depth = depth_of(family.scope)
        if depth == len(node.groups):
            return verdict
        group_id = node.groups[depth]
        barred = self._growth.bar(group_id, family.scope)
        if barred is None:
            return Verdict(Decision.WAIT, f"it is not known yet over what its group {group_id!r} is mapped")
        return Verdict(Decision.UPSTREAM_FAILED, barred) if verdict.decision is Decision.RUN else verdict

    def _by_setups(self, family: Family) -> Verdict | None:
        """What the setups further above say: when one was cleared, the tasks between may be done already."""
        for setup in self._graph.far_setups[family.task_id]:
            depth = common_depth(self._graph[family.task_id].groups, self._graph[setup].groups)
            states = {self.state_of(key) for key in self.instances_under(setup, cut(family.scope, depth))}
            if not states <= FINISHED_TASK_STATES:
                return Verdict(Decision.WAIT, f"its setup {setup!r} is not done")
            if states & FAILED_TASK_STATES:
                return Verdict(Decision.UPSTREAM_FAILED, f"its setup {setup!r} failed")
            if TaskState.SKIPPED in states:
                return Verdict(Decision.SKIP, f"its setup {setup!r} was skipped")
        return None
