"""A brokered executor without a broker: a test reads the doorbells."""

from __future__ import annotations

from collections.abc import Sequence

from clockmill.executors.base import BrokeredExecutor, Offer


class ScriptedBroker(BrokeredExecutor):
    """Keeps what it is asked to ring for.

    :ivar rung: every doorbell, in order.
    """

    def __init__(self, name: str = "broker") -> None:
        super().__init__(name)
        self.rung: list[Offer] = []

    def offer(self, offers: Sequence[Offer]) -> None:
        self.rung += offers
