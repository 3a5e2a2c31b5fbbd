"""Whether the workers that tasks need were started at all, looked at a moment after the scheduler began."""

from __future__ import annotations

import logging
import math

from clockmill.scheduler.workspace import Workspace
from clockmill.storage.engine import Connection
from clockmill.storage.offers import offered_queues
from clockmill.storage.worker_list import WorkerRow, list_workers

log = logging.getLogger(__name__)

#: Seconds within which workers are there that are started together with a scheduler.
PATIENCE = 15.0
#: The queue of tasks that name none.
_DEFAULT_QUEUE = "default"


class Unserved:
    """Says once which queues nobody serves. Later, ``clockmill why`` says it of the tasks that it concerns."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._look_at: float | None = None

    def run_once(self) -> None:
        """Look, once it is time."""
        now = self._space.clock.monotonic()
        if self._look_at is None:
            self._look_at = now + PATIENCE
        if now < self._look_at:
            return
        names = {name for name, each in self._space.brokered.items() if each.takes_work}
        missing = self._space.database.read(lambda connection: self._missing(connection, names)) if names else {}
        if missing is None:
            return
        self._look_at = math.inf
        for name, queues in sorted(missing.items()):
            shown = ("the queue " if len(queues) == 1 else "the queues ") + ", ".join(map(repr, queues))
            command = self._space.brokered[name].worker_command(queues)
            hint = f" with: {command}" if command else ""
            log.warning("no worker serves %s of %s, so tasks wait there; start one%s", shown, name, hint)

    def _missing(self, connection: Connection, names: set[str]) -> dict[str, list[str]] | None:
        """The queues by executor; None while it is not known whether those who serve one are alive."""
        now, beat_seconds = self._space.clock.now(), self._space.settings.workers.beat_seconds
        workers = [each for each in list_workers(connection, None) if not each.is_draining]
        awake = [each for each in workers if each.state(now, beat_seconds) == "alive"]
        needed = offered_queues(connection, names)
        default = self._space.default_executor
        if default in names and default not in {each.executor for each in workers}:
            needed.add((default, _DEFAULT_QUEUE))
        served = _queues_of(workers)
        if needed & served - _queues_of(awake):
            return None
        missing: dict[str, list[str]] = {}
        for name, queue in sorted(needed - served):
            missing.setdefault(name, []).append(queue)
        return missing


def _queues_of(workers: list[WorkerRow]) -> set[tuple[str, str]]:
    return {(each.executor, queue) for each in workers for queue in each.queues}
