"""The task instances of a run by family: those of one task in one instance of the mapped groups around it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from clockmill.state.graph import TaskKey, cut, depth_of
from clockmill.state.states import TaskState


class Family(NamedTuple):
    """The instances of ``task_id`` in one scope."""

    task_id: str
    scope: str


class Families:
    """The instances of a run and their states."""

    def __init__(self) -> None:
        self._states: dict[TaskKey, TaskState] = {}
        # Dictionaries are sets that keep their order, so that the same rows give the same answer everywhere.
        self._members: dict[Family, dict[TaskKey, None]] = defaultdict(dict)
        self._of_task: dict[str, dict[Family, None]] = defaultdict(dict)
        self._next_index: dict[str, int] = defaultdict(int)

    def __contains__(self, family: Family) -> bool:
        return family in self._members

    def add(self, key: TaskKey, state: TaskState) -> None:
        """Take in an instance."""
        family = self.family_of(key)
        self._states[key] = state
        self._members[family][key] = None
        self._of_task[key.task_id][family] = None
        self._next_index[key.task_id] = max(self._next_index[key.task_id], key.map_index + 1)

    def drop(self, key: TaskKey) -> TaskState:
        """Forget an instance, because others take its place; returns the state that it had."""
        family = self.family_of(key)
        del self._members[family][key]
        if not self._members[family]:
            del self._members[family]
            del self._of_task[key.task_id][family]
        return self._states.pop(key)

    @staticmethod
    def family_of(key: TaskKey) -> Family:
        """The family that an instance belongs to."""
        return Family(key.task_id, key.scope)

    def state_of(self, key: TaskKey) -> TaskState:
        """The state of an instance."""
        return self._states[key]

    def set_state(self, key: TaskKey, state: TaskState) -> TaskState:
        """Note the state of an instance; returns the one before."""
        old = self._states[key]
        self._states[key] = state
        return old

    def instances(self, family: Family) -> list[TaskKey]:
        """The instances of a family by map index, which is the order of the elements that they take."""
        return sorted(self._members.get(family, ()))

    def waiting(self, family: Family) -> list[TaskKey]:
        """The instances of a family that have no state yet."""
        return [key for key in self._members.get(family, ()) if self._states[key] is TaskState.NONE]

    def of_task(self, task_id: str) -> list[Family]:
        """The families of a task."""
        return list(self._of_task.get(task_id, ()))

    def under(self, task_id: str, prefix: str) -> list[Family]:
        """The families of a task in one instance of some of the groups around it."""
        depth = depth_of(prefix)
        return [family for family in self._of_task.get(task_id, ()) if cut(family.scope, depth) == prefix]

    def keys_of(self, families: Iterable[Family]) -> Iterator[TaskKey]:
        """The instances of some families."""
        for family in families:
            yield from self._members[family]

    def instances_under(self, task_id: str, prefix: str) -> list[TaskKey]:
        """The instances of a task in one instance of some of the groups around it."""
        return list(self.keys_of(self.under(task_id, prefix)))

    def states_of_task(self, task_id: str) -> Iterator[TaskState]:
        """The states of all instances of a task."""
        return (self._states[key] for key in self.keys_of(self._of_task.get(task_id, ())))

    def next_index(self, task_id: str) -> int:
        """The first map index that no instance of the task has."""
        return self._next_index[task_id]
