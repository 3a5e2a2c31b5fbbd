"""Let go of what is no longer needed, a batch at a time."""

from __future__ import annotations

from datetime import timedelta

from clockmill.scheduler.workspace import Workspace
from clockmill.storage.retention import prune_events

_BATCH = 1000


class Prune:
    """Deletes events that are older than ``[scheduler] prune_events_days``."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace

    def run_once(self) -> int:
        """Delete one batch; returns how many events went."""
        before = self._space.clock.now() - timedelta(days=self._space.settings.scheduler.prune_events_days)
        return self._space.database.write(lambda connection: prune_events(connection, before, limit=_BATCH))
