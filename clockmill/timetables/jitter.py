"""Runs that are moved a little, so that many DAGs with one schedule do not begin at the same second."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from clockmill.clock import iso

_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
_PER_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Jitter:
    """By how much each tick is moved.

    :param most: the delays lie in [0, ``most``).
    :param seed: the id of the DAG; the same seed and tick give the same delay on every machine.
    """

    most: timedelta
    seed: str

    def delay(self, instant: datetime, following: datetime | None) -> timedelta:
        """The delay of the tick at ``instant``, in whole seconds.

        :param following: the tick after it, which it stays before, so that ticks never change places.
        """
        most = self.most if following is None else min(self.most, following - instant)
        digest = hashlib.sha256(f"{self.seed} {iso(instant)}".encode()).digest()
        # A part of the whole in integers, which are the same on every machine; rounded down, it stays below ``most``.
        return _SECOND * ((most // _MICROSECOND) * int.from_bytes(digest[:8]) // (_PER_SECOND << 64))
