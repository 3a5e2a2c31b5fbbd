"""The instances of a run, counted for the tasks below them, and what has to be looked at again by what happened.

Counts are kept for each task and each instance of the mapped groups that it shares with what is above it, so a
finished instance is counted once for each edge, however many instances there are below.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from clockmill.state.families import Families, Family
from clockmill.state.graph import Graph, MappedGroup, TaskKey, common_depth, cut, depth_of
from clockmill.state.rules import UpstreamCounts
from clockmill.state.states import FINISHED_TASK_STATES, TaskState
from clockmill.state.steps import Change


class Tally:
    """The states of all instances, with their upstream counters.

    ``woken`` are the families, and ``calls`` the mapped groups in one instance of the groups around them, about which
    a rule could say something else now. ``unfinished`` is how many instances are not finished.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.families = Families()
        self.unfinished = 0
        # Dictionaries are sets that keep their order, so that the same rows give the same answer everywhere.
        self.woken: dict[Family, None] = {}
        self.calls: dict[tuple[str, str], None] = {}
        self._counts: dict[tuple[str, str], UpstreamCounts] = defaultdict(UpstreamCounts)
        self._left_out: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)

    # --- instances and their states -------------------------------------------------------------------------------

    def add(self, key: TaskKey, state: TaskState) -> None:
        """Take in an instance."""
        self.families.add(key, state)
        self.unfinished += 1
        self._count_in_total(key, 1)
        self._count(key, state, 1)
        if state is TaskState.NONE:
            self.woken[self.families.family_of(key)] = None

    def drop(self, key: TaskKey) -> None:
        """Forget an instance, because others take its place."""
        self._count(key, self.families.drop(key), -1)
        self._count_in_total(key, -1)
        self.unfinished -= 1

    def record(self, key: TaskKey, state: TaskState) -> None:
        """Take in that an instance went to a state."""
        old = self.families.set_state(key, state)
        if old is not state:
            self._count(key, old, -1)
            self._count(key, state, 1)
        if state is TaskState.NONE:
            self.woken[self.families.family_of(key)] = None

    def change_all(self, keys: Iterable[TaskKey], state: TaskState, reason: str) -> Iterator[Change]:
        """Let instances go to a state, one by one."""
        for key in keys:
            self.record(key, state)
            yield Change(key, state, reason)

    # --- what was left out ----------------------------------------------------------------------------------------

    def leave_out(self, key: TaskKey, others: Iterable[str]) -> None:
        """Take in that an instance of a branch leaves out other tasks, as far as they are in the same groups."""
        for other in others:
            if other in self.graph and key.task_id in self.graph:
                depth = common_depth(self.graph[key.task_id].groups, self.graph[other].groups)
                prefix = cut(key.scope, depth)
                self._left_out[other, prefix][key.task_id, prefix] += 1
                self.wake(other, prefix)

    def is_left_out(self, family: Family) -> bool:
        """Whether a branch above left the family out; a mapped one, whether all of its instances did."""
        if not self._left_out:
            return False
        return any(
            number >= len(self.families.instances_under(*branch))
            for depth in range(depth_of(family.scope) + 1)
            for branch, number in self._left_out.get((family.task_id, cut(family.scope, depth)), {}).items()
        )

    # --- counting -------------------------------------------------------------------------------------------------

    def counts_of(self, name: str, scope: str) -> UpstreamCounts:
        """What is directly above a task, or a mapped group, in one scope."""
        total = self._counts[name, ""]
        for depth in range(1, depth_of(scope) + 1):
            total = total.plus(self._counts[name, cut(scope, depth)])
        return total

    def _count(self, key: TaskKey, state: TaskState, amount: int) -> None:
        """Count a state for what is below, and wake it when a rule could say something else now.

        Every rule asks only whether there is any in a state, or whether all are done.
        """
        if state not in FINISHED_TASK_STATES:
            return
        self.unfinished -= amount
        if state is TaskState.REMOVED:
            self._count_in_total(key, -amount)
            return
        is_setup = self.graph[key.task_id].is_setup
        for below, prefix, counts in self._below(key):
            number = counts.add(state, amount, is_setup=is_setup)
            if amount > 0 and (number == 1 or counts.all_done):
                self.wake(below, prefix)
        for far in self.graph.far_below.get(key.task_id, ()):
            self.wake(far, cut(key.scope, common_depth(self.graph[key.task_id].groups, self.graph[far].groups)))

    def _count_in_total(self, key: TaskKey, amount: int) -> None:
        is_setup = self.graph[key.task_id].is_setup
        for below, prefix, counts in self._below(key):
            counts.total += amount
            counts.setups += amount * is_setup
            if amount < 0 and counts.all_done:
                self.wake(below, prefix)

    def _below(self, key: TaskKey) -> Iterator[tuple[str, str, UpstreamCounts]]:
        """The counters of the tasks below an instance, and of the mapped groups that are mapped over its value."""
        for edge in self.graph.edges[key.task_id]:
            prefix = cut(key.scope, edge.depth)
            yield edge.below, prefix, self._counts[edge.below, prefix]

    # --- what to look at again ------------------------------------------------------------------------------------

    def wake(self, name: str, prefix: str) -> None:
        """Look again at a task, or a mapped group, in one instance of some of the groups around it."""
        if name in self.graph.mapped_groups:
            self.call(self.graph.mapped_groups[name], prefix)
            return
        family = Family(name, prefix)
        if family in self.families:
            self.woken[family] = None
        if len(self.graph[name].groups) > depth_of(prefix):
            self.woken.update(dict.fromkeys(self.families.under(name, prefix)))

    def call(self, group: MappedGroup, prefix: str) -> None:
        """Look again at a mapped group, in each instance of the groups around it that there is."""
        depth = len(group.groups) - 1
        if depth_of(prefix) == depth:
            self.calls[group.group_id, prefix] = None
            return
        for node in self.graph.members[group.group_id]:
            for family in self.families.under(node.task_id, prefix):
                if depth_of(family.scope) >= depth:
                    self.calls[group.group_id, cut(family.scope, depth)] = None
