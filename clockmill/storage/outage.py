"""A database that is away, or room that is short, as the log tells of it: at first, once a minute, and at the end."""

from __future__ import annotations

import logging

from clockmill.clock import Clock

_AGAIN_SECONDS = 60.0


class Outage:
    """What one service notices of it; it tries again far more often than anybody wants to read.

    :param log: of the service.
    :param begins: what to say of it.
    :param ends: what to say when it is over.
    """

    def __init__(
        self,
        log: logging.Logger,
        clock: Clock,
        begins: str = "the database is away",
        ends: str = "the database is back",
    ) -> None:
        self._log = log
        self._clock = clock
        self._begins = begins
        self._ends = ends
        self._since: float | None = None
        self._tell_at = 0.0

    def goes_on(self, error: Exception) -> None:
        """It was asked, and could not be."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        elif now < self._tell_at:
            return
        self._tell_at = now + _AGAIN_SECONDS
        self._log.warning("%s, waiting: %s", self._begins, error)

    def is_over(self) -> None:
        """It answered."""
        if self._since is not None:
            self._log.warning("%s after %.0f s", self._ends, self._clock.monotonic() - self._since)
            self._since = None
