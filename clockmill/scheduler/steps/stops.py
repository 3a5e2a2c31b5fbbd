"""Ask executors to stop attempts."""

from __future__ import annotations

from collections.abc import Collection

from clockmill.scheduler.passes import Pass
from clockmill.storage.attempts import live_attempts_of_runs, stopping_attempts
from clockmill.storage.transitions import stop_attempts


class Stops:
    """What one scheduler has told its executors to stop; each attempt is told once.

    :param executors: the names of its executors.
    """

    def __init__(self, executors: Collection[str]) -> None:
        self._executors = executors
        self._told: set[str] = set()

    def stop(self, work: Pass, task_instance_ids: list[int], runs: Collection[int], reason: str) -> None:
        """Stop the attempts of these task instances, which are of these runs."""
        if not task_instance_ids:
            return
        stopping = set(stop_attempts(work.connection, task_instance_ids))
        work.has_stopped |= bool(stopping)
        for row in live_attempts_of_runs(work.connection, runs):
            if row.id in stopping:
                work.effects.stops.setdefault(row.executor, []).append((row.id, reason))

    def stop_unwanted(self, work: Pass) -> None:
        """Tell the executors of attempts that a person asked to stop, also in runs that are over by that."""
        stopping, told = stopping_attempts(work.connection), self._told | work.effects.told_to_stop()
        for ident, executor in stopping.items():
            if ident not in told and executor in self._executors:
                work.effects.stops.setdefault(executor, []).append((ident, "stopped by a person"))
        work.stopping = set(stopping)

    def committed(self, work: Pass) -> None:
        """Remember what the executors will be told now; an attempt that is gone is forgotten."""
        self._told = (self._told if work.stopping is None else work.stopping) | work.effects.told_to_stop()
