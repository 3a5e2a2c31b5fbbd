"""Let go of what is no longer needed, a batch at a time."""

from __future__ import annotations

from datetime import timedelta

from clockmill.scheduler.workspace import Workspace
from clockmill.storage.components import forget_silent
from clockmill.storage.engine import Connection
from clockmill.storage.retention import prune_events

_BATCH = 1000
#: What was killed does not say goodbye; so long people can see that it was there.
_SERVICES_SHOWN = timedelta(days=1)


class Prune:
    """Deletes events that are older than ``[scheduler] prune_events_days``, and services that were killed a day ago."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace

    def run_once(self) -> int:
        """Delete one batch; returns how many events went."""
        now = self._space.clock.now()
        before = now - timedelta(days=self._space.settings.scheduler.prune_events_days)

        def work(connection: Connection) -> int:
            forget_silent(connection, now - _SERVICES_SHOWN)
            return prune_events(connection, before, limit=_BATCH)

        return self._space.database.write(work)
