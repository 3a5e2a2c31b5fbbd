"""The workers: where they are, how busy they are, what they offer, and which of them are not heard of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint

from clockmill.state.resources import CPU, MEMORY, spoken_amount
from clockmill.storage.worker_list import WorkerRow, list_workers
from clockmill.webserver.rendering import LIST_LIVE_MILLIS, page
from clockmill.webserver.site import current_site

blueprint = Blueprint("workers", __name__)

_LATELY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """A worker as the page shows it.

    :param busy: of its slots; what one that is gone held is nobody's load any more.
    :param state: see :meth:`clockmill.storage.worker_list.WorkerRow.state`.
    """

    row: WorkerRow
    state: str

    @property
    def busy(self) -> int:
        return min(self.row.busy, self.row.slots) if self.row.is_alive else 0

    @property
    def resources(self) -> list[str]:
        """What it offers, each as people read it: processors first, then memory."""
        offered = self.row.resources or {}
        names = sorted(offered, key=lambda name: (name != CPU, name != MEMORY, name))
        return [spoken_amount(name, offered[name]) for name in names]


@blueprint.get("/workers")
def list_all() -> str:
    """Every worker, and those that left or fell silent within the last day."""
    site = current_site()
    now, beat_seconds = site.clock.now(), site.options.workers.beat_seconds
    found = site.database.read(lambda connection: list_workers(connection, now - _LATELY))
    lines = [WorkerLine(row, row.state(now, beat_seconds)) for row in found]
    there = [line for line in lines if line.row.is_alive]
    return page(
        "workers.html",
        live=LIST_LIVE_MILLIS,
        workers=lines,
        number=len(there),
        busy=sum(line.busy for line in there),
        slots=sum(line.row.slots for line in there),
    )
