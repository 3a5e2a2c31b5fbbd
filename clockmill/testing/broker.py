"""A brokered executor without a broker: a test reads the doorbells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clockmill.executors.base import BrokeredExecutor, Offer


class ScriptedBroker(BrokeredExecutor):
    """Keeps what it is asked to ring for.

    :ivar rung: every doorbell, in order.
    :ivar nudged: every attempt that was to be stopped, in order.
    """

    def __init__(self, name: str = "broker") -> None:
        super().__init__(name)
        self.rung: list[Offer] = []
        self.nudged: list[str] = []

    def offer(self, offers: Sequence[Offer]) -> None:
        self.rung += offers

    def worker_command(self, queues: Sequence[str]) -> str:
        return f"start a worker of {','.join(queues)}"

    def stop_attempts(self, attempt_ids: Iterable[str], reason: str) -> None:
        self.nudged += attempt_ids
