"""Whether a worker still hears its doorbells, told by what it finds without them. No thread, no call."""

from __future__ import annotations

#: Seconds between two offers that were found without a doorbell, and no doorbell between them, that tell of deaf ears.
FIRST_SILENCE = 10.0
#: Whoever rings may be the one who fails: each vain try makes it twice the time, up to so many seconds.
LONGEST_SILENCE = 600.0


class Watch:
    """Judges the silence of one worker.

    One offer found by asking proves nothing: its doorbell may be on its way, or was heard by another worker. A second
    one some time later, and still no doorbell for anything, is reason enough to connect anew, which costs little.
    """

    def __init__(self) -> None:
        self._missed_at: float | None = None
        self._silence = FIRST_SILENCE

    def heard(self) -> None:
        """A doorbell came."""
        self._missed_at, self._silence = None, FIRST_SILENCE

    def missed(self, now: float) -> bool:
        """Something was found for which no doorbell came; whether it is time to connect anew.

        :param now: in monotonic seconds.
        """
        if self._missed_at is None:
            self._missed_at = now
        if now - self._missed_at < self._silence:
            return False
        self._missed_at, self._silence = None, min(2 * self._silence, LONGEST_SILENCE)
        return True
