"""Let go of what is no longer needed, a batch at a time."""

from __future__ import annotations

from datetime import timedelta

from clockmill.scheduler.workspace import Workspace
from clockmill.storage.components import forget_silent
from clockmill.storage.engine import Connection
from clockmill.storage.retention import prune_events, prune_supervisors

_BATCH = 1000
#: What was killed does not say goodbye; so long people can see that it was there.
_SERVICES_SHOWN = timedelta(days=1)


class Prune:
    """Deletes events older than ``[scheduler] prune_events_days``, supervisors and workers that are gone for as long.

    Services that were killed go after a day.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace

    def run_once(self) -> int:
        """Delete one batch; returns how many events, supervisors and workers went."""
        now = self._space.clock.now()
        before = now - timedelta(days=self._space.settings.scheduler.prune_events_days)

        def work(connection: Connection) -> int:
            forget_silent(connection, now - _SERVICES_SHOWN)
            events = prune_events(connection, before, limit=_BATCH)
            return events + prune_supervisors(connection, before, limit=_BATCH)

        return self._space.database.write(work)
