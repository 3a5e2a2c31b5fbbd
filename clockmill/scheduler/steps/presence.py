"""Sign of life for the supervisors of this host, which schedulers of other hosts cannot see.

A supervisor is granted time with each beat that was written for it: nobody gives it up before that has passed, and it
ends by itself what still runs then. So a host that is gone, hangs or is cut off holds up its tasks no longer than a
lease, and nothing runs twice. What the row of a supervisor says is never less than what it was told.
"""

from __future__ import annotations

import logging
from datetime import datetime

from clockmill.executors.base import LeasedExecutor
from clockmill.scheduler.workspace import Workspace
from clockmill.storage.engine import Connection
from clockmill.storage.supervisors import Standing, beat_for, revive, set_lease

log = logging.getLogger(__name__)

#: Of a lease, what is left for clocks that do not go alike and for the end of killed processes.
_MARGIN = 0.05

Found = dict[str, Standing]


class Presence:
    """Beats for the supervisors that this scheduler controls; on SQLite nobody else could see to their tasks."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        known = () if workspace.database.is_sqlite else workspace.executors.values()
        self._executors = [each for each in known if isinstance(each, LeasedExecutor)]
        self._granted: dict[str, float] = {}

    @property
    def lease(self) -> float:
        """For how long a supervisor may be silent: briefly where another scheduler can see to its tasks."""
        return self._space.settings.workers.lease_seconds if self._space.has_peers else self.long_lease

    @property
    def long_lease(self) -> float:
        """As :attr:`lease`, while there is none, and when this scheduler leaves to come back."""
        settings = self._space.settings
        return max(settings.scheduler.orphan_grace_seconds, settings.workers.lease_seconds)

    def write(self, connection: Connection, seconds: float, now: datetime) -> Found:
        """Beat, and let the rows follow what the supervisors have been granted.

        :returns: how each of them stands.
        """
        held = {ident: each for executor in self._executors for ident, each in executor.controlled().items()}
        if not held:
            return {}
        found = beat_for(connection, held, now)
        back = [ident for ident, each in found.items() if not each.is_alive and not held[ident]]
        if back:
            revive(connection, back)
        for ident, each in found.items():
            if not each.is_alive:
                found[ident] = Standing(ident in back, each.lease)
                continue
            lease = max(seconds, self._granted[ident]) if ident in self._granted else each.lease
            if lease is not None and lease != each.lease:
                set_lease(connection, [ident], lease)
            found[ident] = Standing(True, lease)
        return found

    def grant(self, found: Found, seconds: float, sent_at: float) -> None:
        """Pass on, after the commit, what it was worth.

        :param sent_at: when :meth:`write` began, in seconds since boot.
        """
        untrusted = {ident for ident, each in found.items() if not each.is_alive}
        for ident in sorted(untrusted - self._space.untrusted):
            log.warning("supervisor %s was given up; it gets nothing new until all that it had has ended", ident)
        self._space.untrusted = untrusted
        granted = {}
        for executor in self._executors:
            for ident in executor.controlled().keys() & found.keys() - untrusted:
                lease = found[ident].lease
                granted[ident] = seconds if lease is None else min(seconds, lease)
                executor.grant(sent_at + granted[ident] * (1 - _MARGIN), granted[ident], only=ident)
        self._granted = granted
