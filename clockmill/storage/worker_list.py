"""The workers that there are, and those that were here lately, for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from clockmill.storage.tables import attempt, offer, supervisor

_S = supervisor.c


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker as it last showed itself.

    :param busy: how many attempts it held then.
    :param seen_at: by its own clock, or that of the web server that it asks.
    """

    id: str
    executor: str
    host: str
    pid: int
    version: str
    queues: list[str]
    slots: int
    busy: int
    is_alive: bool
    is_draining: bool
    started_at: datetime
    seen_at: datetime

    @property
    def state(self) -> str:
        """``alive``, ``draining`` when it takes no new work, ``gone`` when it left or was given up."""
        if not self.is_alive:
            return "gone"
        return "draining" if self.is_draining else "alive"


_COLUMNS = [_S[name] for name in WorkerRow.__dataclass_fields__]


def list_workers(connection: Connection, gone_since: datetime) -> list[WorkerRow]:
    """The workers, those that are gone last, by executor, host and start.

    :param gone_since: those that are gone are listed when they were seen after this.
    """
    # Only workers are seen; the supervisors of schedulers are known by their locks.
    wanted = select(*_COLUMNS).where(_S.seen_at.is_not(None), _S.is_alive | (_S.seen_at >= gone_since))
    ordered = wanted.order_by(_S.is_alive.desc(), _S.executor, _S.host, _S.started_at, _S.id)
    return [WorkerRow(**row._mapping) for row in connection.execute(ordered)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRow:
    """An attempt that no worker has claimed.

    :param since: when it was first offered.
    :param again_at: when its doorbell is rung again.
    """

    executor: str
    queue: str
    since: datetime
    again_at: datetime


def find_offer(connection: Connection, attempt_id: str) -> OfferRow | None:
    """What an attempt waits for a worker with; None when it does not wait for one."""
    told = select(
        offer.c.executor, offer.c.queue, attempt.c.queued_at.label("since"), offer.c.offer_at.label("again_at")
    )
    wanted = told.join(attempt, attempt.c.id == offer.c.attempt_id)
    row = connection.execute(wanted.where(offer.c.attempt_id == attempt_id, offer.c.offer_at.is_not(None))).first()
    return None if row is None else OfferRow(**row._mapping)
