"""Whether this machine can begin anything: a disk that takes no files must not eat one task after the other."""

from __future__ import annotations

import logging

from clockmill.clock import Clock

log = logging.getLogger(__name__)

#: Seconds for which nothing is claimed after something could not begin here.
PAUSE = 30.0


class Health:
    """What a worker knows of its machine. An attempt that could not begin there is not to blame for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._again_at = 0.0

    @property
    def is_poor(self) -> bool:
        """Whether nothing is to be claimed now."""
        return self._clock.monotonic() < self._again_at

    def blame(self, error: OSError) -> str:
        """Claim nothing for a while; the reason why an attempt is given back."""
        if not self.is_poor:
            log.error("this machine can begin nothing, it takes no work for %g s: %s", PAUSE, error)
        self._again_at = self._clock.monotonic() + PAUSE
        return f"Its worker could not begin it: {error.strerror or error}."
