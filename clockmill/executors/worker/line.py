"""The line of attempts that could begin at once, were there a slot. No clock, no thread, no call."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable

from clockmill.executors.worker import ahead
from clockmill.protocols import Workload


class Line:
    """What a worker has claimed ahead, first come first served. All moments are monotonic seconds."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Workload]] = deque()  # with the moment since when each could begin

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, workloads: Iterable[Workload], now: float) -> None:
        """Have these wait from now on."""
        self._waiting.extend((now, workload) for workload in workloads)

    def take(self, slots: int) -> list[Workload]:
        """The first ones, which begin now."""
        return [self._waiting.popleft()[1] for _ in range(min(slots, len(self._waiting)))]

    def drop(self, attempt_ids: Collection[str]) -> list[str]:
        """Have some of these wait no longer; returns those that did."""
        dropped = [each.attempt_id for _, each in self._waiting if each.attempt_id in attempt_ids]
        self._waiting = deque(each for each in self._waiting if each[1].attempt_id not in attempt_ids)
        return dropped

    def drop_all(self) -> list[str]:
        """Have nobody wait; returns those that did."""
        dropped = [each.attempt_id for _, each in self._waiting]
        self._waiting.clear()
        return dropped

    def late_at(self, *, is_alone: bool) -> float:
        """When the first of them has waited too long for a slot; ``inf`` while none waits.

        :param is_alone: whether nothing runs: then it waits for a supervisor, which takes longer.
        """
        if not self._waiting:
            return math.inf
        return self._waiting[0][0] + (ahead.ALONE if is_alone else ahead.PATIENCE)
