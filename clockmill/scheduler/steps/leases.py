"""Whether workers, and supervisors of other hosts, are still there."""

from __future__ import annotations

import logging
from functools import partial

from clockmill.scheduler.workspace import Workspace
from clockmill.storage.workers import Beat, beats, give_up_silent

log = logging.getLogger(__name__)


class Leases:
    """Gives up workers, and supervisors of other hosts, whose beat stands still.

    Each says how long it may be silent: then it has ended its tasks, whatever the settings of other machines are.

    No clocks are compared: one of them is gone when this scheduler has itself read the same number of its beat for a
    whole lease, without one read that failed.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._seen: dict[str, tuple[Beat, float]] = {}

    def forget(self) -> None:
        """A read failed: every lease begins anew."""
        self._seen.clear()

    def run_once(self) -> bool:
        """Look at all beats; whether somebody was given up."""
        if not self._space.takes_mail:
            return False
        now = self._space.clock.monotonic()
        found = self._space.database.read(lambda connection: beats(connection, self._space.brokered))
        self._seen = {ident: self._since(ident, beat, now) for ident, beat in found.items()}
        expired = [ident for ident, (beat, since) in self._seen.items() if now - since >= self._length(beat)]
        gone = [ident for ident in expired if self._give_up(ident, self._seen.pop(ident)[0])]
        return bool(gone)

    def _length(self, beat: Beat) -> float:
        return self._space.settings.workers.lease_seconds if beat.lease is None else beat.lease

    def _give_up(self, ident: str, beat: Beat) -> bool:
        seconds = self._length(beat)
        what = "worker" if beat.is_worker else "supervisor"
        reason = f"Its {what} was silent for {seconds:g} s."
        done = self._space.database.write(partial(give_up_silent, ident=ident, beat=beat.number, reason=reason))
        if done:
            log.warning("%s %s has been silent for %g s and is given up", what, ident, seconds)
        return done

    def _since(self, ident: str, beat: Beat, now: float) -> tuple[Beat, float]:
        known = self._seen.get(ident)
        return known if known is not None and known[0] == beat else (beat, now)
