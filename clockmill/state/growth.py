"""How mapped tasks and groups get their instances, once it is known how long the values are that they are mapped over.

Until then, one placeholder stands for them. An expansion that is done again fits what is there: instances that are
needed again are taken up, those that wait and are too many are removed, and what ran stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clockmill.state.expansion import Expansion
from clockmill.state.families import Family
from clockmill.state.graph import MappedGroup, Node, TaskKey, common_depth, cut, depth_of, inner
from clockmill.state.rules import Decision, TriggerRule, judge
from clockmill.state.states import TaskState
from clockmill.state.steps import Change, Placed, Step
from clockmill.state.tally import Tally

#: The length of what a task pushed under a key, as one scope sees it: ``(task_id, key, scope)``.
ScopedLengths = Callable[[str, str, str], int | None]

_NOTHING = "there is nothing to map over"


class Growth:
    """The expansions of one run.

    :param limit: how many instances a mapped task or group may have.
    """

    def __init__(self, tally: Tally, limit: int) -> None:
        self._tally = tally
        self._families = tally.families
        self._graph = tally.graph
        self._limit = limit
        self._barred: dict[tuple[str, str], str] = {}

    def bar(self, group_id: str, scope: str) -> str | None:
        """Why a mapped group has no instances in a scope, and cannot have any; None when that is not known yet."""
        return self._barred.get((group_id, scope))

    # --- tasks ----------------------------------------------------------------------------------------------------

    def expand_task(self, family: Family, lengths: ScopedLengths) -> Iterator[Step]:
        """Give a mapped task that may run as many instances as there are elements."""
        node = self._graph[family.task_id]
        assert node.expansion is not None
        size = self._size(node.expansion, node.groups, family.scope, lengths)
        if size is None or size > self._limit or size == 0:
            state, reason = self._no_instances(size, node.expansion)
            yield from self._tally.change_all(self._families.waiting(family), state, reason)
            return
        keys = self._families.instances(family)
        if keys[0].map_index < 0:
            first = self._place(keys[0], self._new_key(node, family.scope), 0)
            keys = [first.key]
            yield first
        yield from self._fit(keys, size)
        for item in range(len(keys), size):
            yield self._place(None, self._new_key(node, family.scope), item)

    # --- groups ---------------------------------------------------------------------------------------------------

    def expand_group(self, group_id: str, scope: str, lengths: ScopedLengths) -> Iterator[Step]:
        """Give the tasks of a mapped group as many instances as there are elements, once what is above has them."""
        group = self._graph.mapped_groups[group_id]
        self._barred.pop((group_id, scope), None)
        verdict = judge(TriggerRule.ALL_SUCCESS, self._tally.counts_of(group_id, scope))
        if verdict.decision is Decision.WAIT:
            return
        size, reason = None, verdict.reason
        if verdict.decision is Decision.RUN:
            size = self._size(group.expansion, group.groups[:-1], scope, lengths)
            _, reason = self._no_instances(size, group.expansion)
        if size is None or size > self._limit:
            self._bar(group, scope, reason)
            return
        for node in self._graph.members[group_id]:
            yield from self._expand_member(node, len(group.groups), scope, size)
        for other in self._graph.mapped_groups.values():
            if group_id in other.groups[:-1]:
                self._tally.call(other, scope)

    def _bar(self, group: MappedGroup, scope: str, reason: str) -> None:
        self._barred[group.group_id, scope] = reason
        for node in self._graph.members[group.group_id]:
            self._tally.wake(node.task_id, scope)

    def _expand_member(self, node: Node, depth: int, scope: str, size: int) -> Iterator[Step]:
        """Give one task of a mapped group its instances.

        :param depth: how many mapped groups there are down to that one.
        """
        keys = sorted(self._families.instances_under(node.task_id, scope))
        if size == 0:
            waiting = [key for key in keys if self._families.state_of(key) is TaskState.NONE]
            yield from self._tally.change_all(waiting, TaskState.SKIPPED, _NOTHING)
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

    # --- what both need -------------------------------------------------------------------------------------------

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
                yield from self._tally.change_all([key], TaskState.NONE, "")
            elif state is TaskState.NONE and number >= size:
                yield from self._tally.change_all([key], TaskState.REMOVED, "what it is mapped over has become shorter")

    def _new_key(self, node: Node, scope: str, *, is_group: bool = False) -> TaskKey:
        """The key of a new instance, or of a placeholder where the task is to be expanded further in that scope."""
        is_placeholder = is_group and (node.expansion is not None or depth_of(scope) < len(node.groups))
        return TaskKey(node.task_id, -1 if is_placeholder else self._families.next_index(node.task_id), scope)

    def _place(self, was: TaskKey | None, key: TaskKey, item: int) -> Placed:
        if was is not None:
            self._tally.drop(was)
        self._tally.add(key, TaskState.NONE)
        return Placed(key, item, was)
