"""The steps in which a run moves on."""

from __future__ import annotations

from dataclasses import dataclass

from clockmill.state.graph import TaskKey
from clockmill.state.states import TaskState


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
