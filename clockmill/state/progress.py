"""How a run moves on: from the states of its task instances to what may run, is skipped, or cannot run any more.

Pure: a :class:`Progress` is built from rows, told of changes, and answers with further steps. A finished task instance
costs as many steps as its task has direct downstream tasks, however many instances these have.

One verdict holds for all instances of a *family*, because they have the same instances above them. A mapped task is a
family of one placeholder until it is known how long the value is that it is mapped over; likewise the tasks of a
mapped group.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from clockmill.state.expansion import Expansion
from clockmill.state.families import Families, Family
from clockmill.state.graph import Graph, MappedGroup, Node, TaskKey, common_depth, cut, depth_of, inner
from clockmill.state.rules import Decision, TriggerRule, UpstreamCounts, Verdict, judge
from clockmill.state.states import FAILED_TASK_STATES, FINISHED_TASK_STATES, RunState, TaskState

#: How many instances a mapped task may have, where nothing else is said.
MAX_MAP_LENGTH = 10_000

#: The length of what a task pushed under a key, as one scope sees it: ``(task_id, key, scope)``.
ScopedLengths = Callable[[str, str, str], int | None]
#: Asked before a decision about a task is carried out: None lets it pass, a verdict holds it back and says why.
Gate = Callable[[str, Decision], Verdict | None]


@dataclass(frozen=True, slots=True)
class Change:
    """A task instance goes to ``state``, for ``reason``."""

    key: TaskKey
    state: TaskState
    reason: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A task instance that is new.

    :param item: which element of its task's own expansion it takes; -1 when the task is not mapped itself.
    :param was: the placeholder that it takes the place of, or None.
    """

    key: TaskKey
    item: int
    was: TaskKey | None


Step = Change | Placed

_NEXT_STATE = {
    Decision.RUN: TaskState.SCHEDULED,
    Decision.SKIP: TaskState.SKIPPED,
    Decision.UPSTREAM_FAILED: TaskState.UPSTREAM_FAILED,
}
_LEFT_OUT = Verdict(Decision.SKIP, "left out by a branch or short circuit above")
_NOTHING = "there is nothing to map over"


def _no_lengths(_task_id: str, _key: str, _scope: str) -> int | None:
    return None


def _open_gate(_task_id: str, _decision: Decision) -> Verdict | None:
    return None


class Progress:
    """The states of one run and their upstream counters.

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
        self._limit = max_map_length
        self._families = Families()
        self._counts: dict[tuple[str, str], UpstreamCounts] = defaultdict(UpstreamCounts)
        self._left_out: dict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
        self._barred: dict[tuple[str, str], str] = {}
        self._unfinished = 0
        # Dictionaries are sets that keep their order, so that the same rows give the same answer everywhere.
        self._woken: dict[Family, None] = {}
        self._calls: dict[tuple[str, str], None] = {}
        for key, state in states.items():
            if key.task_id in self._graph:
                self._add(key, state)
        for task_id in self._graph:
            if not self._families.of_task(task_id):
                self._add(TaskKey(task_id), TaskState.NONE)
        for key, others in left_out:
            self._leave_out(key, others)
        for group in self._graph.mapped_groups.values():
            self._call(group, "")

    # --- what is known --------------------------------------------------------------------------------------------

    def state_of(self, key: TaskKey) -> TaskState:
        """The state of a task instance as this object knows it."""
        return self._families.state_of(key)

    def verdict(self, key: TaskKey) -> Verdict:
        """What holds for a task instance that has no state yet, and why."""
        return self._verdict(self._families.family_of(key))

    def outcome(self, *, fail_fast: bool = False) -> RunState:
        """The state of the run: a function of its task instances alone.

        :param fail_fast: whether any task that fails counts, be it a leaf or not.
        """
        if self._unfinished:
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
        old = self._families.set_state(key, state)
        if old is not state:
            self._count(key, old, -1)
            self._count(key, state, 1)
        if state is TaskState.NONE:
            self._woken[self._families.family_of(key)] = None
        self._leave_out(key, leaves_out)

    def release(self, task_id: str) -> None:
        """Ask the gate again about a task that it held back."""
        self._wake(task_id, "")

    def settle(self, lengths: ScopedLengths = _no_lengths, gate: Gate = _open_gate) -> list[Step]:
        """Every step that follows from what was recorded, in the order in which it follows."""
        return list(self._settle(lengths, gate))

    def _settle(self, lengths: ScopedLengths, gate: Gate) -> Iterator[Step]:
        while self._calls or self._woken:
            if self._calls:
                group_id, scope = next(iter(self._calls))
                del self._calls[group_id, scope]
                yield from self._expand_group(self._graph.mapped_groups[group_id], scope, lengths)
                continue
            family = next(iter(self._woken))
            del self._woken[family]
            if self._families.waiting(family):
                yield from self._settle_family(family, lengths, gate)

    def _settle_family(self, family: Family, lengths: ScopedLengths, gate: Gate) -> Iterator[Step]:
        verdict = self._verdict(family)
        if verdict.decision is Decision.WAIT or gate(family.task_id, verdict.decision) is not None:
            return
        node = self._graph[family.task_id]
        if verdict.decision is Decision.RUN and node.expansion is not None:
            yield from self._expand_task(family, node, lengths)
        state = _NEXT_STATE[verdict.decision]
        if state is TaskState.SCHEDULED and node.is_empty:
            state = TaskState.SUCCESS
        yield from self._change_all(self._families.waiting(family), state, verdict.reason)

    def _change_all(self, keys: Iterable[TaskKey], state: TaskState, reason: str) -> Iterator[Change]:
        for key in keys:
            self.record(key, state)
            yield Change(key, state, reason)

    # --- verdicts -------------------------------------------------------------------------------------------------

    def _verdict(self, family: Family) -> Verdict:
        if self._is_left_out(family):
            return _LEFT_OUT
        node = self._graph[family.task_id]
        verdict = judge(node.rule, self._counts_of(family.task_id, family.scope))
        if verdict.decision is Decision.RUN and family.task_id in self._graph.far_setups:
            verdict = self._by_setups(family) or verdict
        depth = depth_of(family.scope)
        if depth == len(node.groups):
            return verdict
        group_id = node.groups[depth]
        barred = self._barred.get((group_id, family.scope))
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

    def _counts_of(self, name: str, scope: str) -> UpstreamCounts:
        total = self._counts[name, ""]
        for depth in range(1, depth_of(scope) + 1):
            total = total.plus(self._counts[name, cut(scope, depth)])
        return total

    def _is_left_out(self, family: Family) -> bool:
        """Whether a branch above left the family out; a mapped one, whether all of its instances did."""
        if not self._left_out:
            return False
        return any(
            number >= len(list(self._families.keys_of(self._families.under(*branch))))
            for depth in range(depth_of(family.scope) + 1)
            for branch, number in self._left_out.get((family.task_id, cut(family.scope, depth)), {}).items()
        )

    def _leave_out(self, key: TaskKey, others: Iterable[str]) -> None:
        for other in others:
            if other in self._graph and key.task_id in self._graph:
                depth = common_depth(self._graph[key.task_id].groups, self._graph[other].groups)
                prefix = cut(key.scope, depth)
                self._left_out[other, prefix][key.task_id, prefix] += 1
                self._wake(other, prefix)

    # --- counting -------------------------------------------------------------------------------------------------

    def _add(self, key: TaskKey, state: TaskState) -> None:
        self._families.add(key, state)
        self._unfinished += 1
        self._count_in_total(key, 1)
        self._count(key, state, 1)
        if state is TaskState.NONE:
            self._woken[self._families.family_of(key)] = None

    def _drop(self, key: TaskKey) -> None:
        self._count(key, self._families.drop(key), -1)
        self._count_in_total(key, -1)
        self._unfinished -= 1

    def _count(self, key: TaskKey, state: TaskState, amount: int) -> None:
        """Count a state for what is below, and wake it when a rule could say something else now.

        Every rule asks only whether there is any in a state, or whether all are done.
        """
        if state not in FINISHED_TASK_STATES:
            return
        self._unfinished -= amount
        if state is TaskState.REMOVED:
            self._count_in_total(key, -amount)
            return
        is_setup = self._graph[key.task_id].is_setup
        for below, prefix, counts in self._below(key):
            number = counts.add(state, amount, is_setup=is_setup)
            if amount > 0 and (number == 1 or counts.all_done):
                self._wake(below, prefix)
        for far in self._graph.far_below.get(key.task_id, ()):
            self._wake(far, cut(key.scope, common_depth(self._graph[key.task_id].groups, self._graph[far].groups)))

    def _count_in_total(self, key: TaskKey, amount: int) -> None:
        is_setup = self._graph[key.task_id].is_setup
        for below, prefix, counts in self._below(key):
            counts.total += amount
            counts.setups += amount * is_setup
            if amount < 0 and counts.all_done:
                self._wake(below, prefix)

    def _below(self, key: TaskKey) -> Iterator[tuple[str, str, UpstreamCounts]]:
        """The counters of the tasks below an instance, and of the mapped groups that are mapped over its value."""
        for edge in self._graph.edges[key.task_id]:
            prefix = cut(key.scope, edge.depth)
            yield edge.below, prefix, self._counts[edge.below, prefix]

    def _wake(self, name: str, prefix: str) -> None:
        if name in self._graph.mapped_groups:
            self._call(self._graph.mapped_groups[name], prefix)
            return
        family = Family(name, prefix)
        if family in self._families:
            self._woken[family] = None
        if len(self._graph[name].groups) > depth_of(prefix):
            self._woken.update(dict.fromkeys(self._families.under(name, prefix)))

    # --- expansion ------------------------------------------------------------------------------------------------

    def instances_under(self, task_id: str, prefix: str) -> list[TaskKey]:
        """The instances of a task in one instance of some of the groups around it."""
        return list(self._families.keys_of(self._families.under(task_id, prefix)))

    def _call(self, group: MappedGroup, prefix: str) -> None:
        """Look at a mapped group again, in each instance of the groups around it."""
        depth = len(group.groups) - 1
        if depth_of(prefix) == depth:
            self._calls[group.group_id, prefix] = None
            return
        for node in self._graph.members[group.group_id]:
            for family in self._families.under(node.task_id, prefix):
                if depth_of(family.scope) >= depth:
                    self._calls[group.group_id, cut(family.scope, depth)] = None

    def _expand_task(self, family: Family, node: Node, lengths: ScopedLengths) -> Iterator[Step]:
        """Give a mapped task that may run as many instances as there are elements."""
        assert node.expansion is not None
        size = self._size(node.expansion, node.groups, family.scope, lengths)
        if size is None or size > self._limit or size == 0:
            state, reason = self._no_instances(size, node.expansion)
            yield from self._change_all(self._families.waiting(family), state, reason)
            return
        keys = self._families.instances(family)
        if keys[0].map_index < 0:
            first = self._place(keys[0], self._new_key(node, family.scope), 0)
            keys = [first.key]
            yield first
        yield from self._fit(keys, size)
        for item in range(len(keys), size):
            yield self._place(None, self._new_key(node, family.scope), item)

    def _expand_group(self, group: MappedGroup, scope: str, lengths: ScopedLengths) -> Iterator[Step]:
        """Give the tasks of a mapped group as many instances as there are elements."""
        name = group.group_id
        self._barred.pop((name, scope), None)
        verdict = judge(TriggerRule.ALL_SUCCESS, self._counts_of(name, scope))
        if verdict.decision is Decision.WAIT:
            return
        size, reason = None, verdict.reason
        if verdict.decision is Decision.RUN:
            size = self._size(group.expansion, group.groups[:-1], scope, lengths)
            _, reason = self._no_instances(size, group.expansion)
        if size is None or size > self._limit:
            self._barred[name, scope] = reason
            for node in self._graph.members[name]:
                self._wake(node.task_id, scope)
            return
        for node in self._graph.members[name]:
            yield from self._expand_member(node, len(group.groups), scope, size)
        for other in self._graph.mapped_groups.values():
            if name in other.groups[:-1]:
                self._call(other, scope)

    def _expand_member(self, node: Node, depth: int, scope: str, size: int) -> Iterator[Step]:
        keys = sorted(self.instances_under(node.task_id, scope))
        if size == 0:
            waiting = [key for key in keys if self._families.state_of(key) is TaskState.NONE]
            yield from self._change_all(waiting, TaskState.SKIPPED, _NOTHING)
            return
        present = 0
        if depth_of(keys[0].scope) < depth:
            if self._families.state_of(keys[0]) is not TaskState.NONE:
                return
            yield self._place(keys[0], self._new_key(node, inner(scope, 0), is_group=True), -1)
            present = 1
        else:
            instance = {key: int(cut(key.scope, depth).rpartition(".")[2]) for key in keys}
            present = max(instance.values()) + 1
            yield from self._fit([key for key in keys if instance[key] < size], len(keys))
            yield from self._fit([key for key in keys if instance[key] >= size], 0)
        for index in range(present, size):
            yield self._place(None, self._new_key(node, inner(scope, index), is_group=True), -1)

    def _size(self, expansion: Expansion, groups: tuple[str, ...], scope: str, lengths: ScopedLengths) -> int | None:
        def length(task_id: str, key: str) -> int | None:
            return lengths(task_id, key, cut(scope, common_depth(groups, self._graph[task_id].groups)))

        return expansion.size(length)

    def _no_instances(self, size: int | None, expansion: Expansion) -> tuple[TaskState, str]:
        """What becomes of a task that cannot be mapped, and why."""
        if size is None:
            names = " and ".join(repr(name) for name in sorted(expansion.task_ids()))
            return TaskState.UPSTREAM_FAILED, f"it is mapped over the value of {names}, which is no list or dictionary"
        if size > self._limit:
            return TaskState.FAILED, f"{size:,} instances are more than [core] max_map_length allows: {self._limit:,}"
        return TaskState.SKIPPED, _NOTHING

    def _fit(self, keys: list[TaskKey], size: int) -> Iterator[Change]:
        """Take up instances that were removed and are needed again; remove those that wait and are too many."""
        for number, key in enumerate(keys):
            state = self._families.state_of(key)
            if state is TaskState.REMOVED and number < size:
                yield from self._change_all([key], TaskState.NONE, "")
            elif state is TaskState.NONE and number >= size:
                yield from self._change_all([key], TaskState.REMOVED, "what it is mapped over has become shorter")

    def _new_key(self, node: Node, scope: str, *, is_group: bool = False) -> TaskKey:
        """The key of a new instance, or of a placeholder where the task is to be expanded further in that scope."""
        is_placeholder = is_group and (node.expansion is not None or depth_of(scope) < len(node.groups))
        return TaskKey(node.task_id, -1 if is_placeholder else self._families.next_index(node.task_id), scope)

    def _place(self, was: TaskKey | None, key: TaskKey, item: int) -> Placed:
        if was is not None:
            self._drop(was)
        self._add(key, TaskState.NONE)
        return Placed(key, item, was)
