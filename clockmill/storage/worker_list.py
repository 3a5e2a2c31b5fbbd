"""The workers that there are, and those that were here lately, for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from clockmill.storage.tables import Instant, supervisor

_S = supervisor.c


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker as it last showed itself.

    :param busy: how many attempts it held then.
    :param resources: what it offers besides slots.
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
    resources: dict[str, float] | None
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
_SEEN = select(*_COLUMNS).where(_S.seen_at.is_not(None))
_IN_ORDER = (_S.is_alive.desc(), _S.executor, _S.host, _S.started_at, _S.id)
ALIVE = _SEEN.where(_S.is_alive).order_by(*_IN_ORDER)
WITH_GONE = _SEEN.where(_S.is_alive | (_S.seen_at >= bindparam("gone_since", type_=Instant))).order_by(*_IN_ORDER)


def list_workers(connection: Connection, gone_since: datetime | None) -> list[WorkerRow]:
    """The workers, those that are gone last, by executor, host and start.

    :param gone_since: those that are gone are listed when they were seen after this; None leaves them out.
    """
    told = () if gone_since is None else ({"gone_since": gone_since},)
    found = connection.execute(ALIVE if gone_since is None else WITH_GONE, *told)
    # A supervisor of a scheduler is seen as well where several machines share the work; it serves no queues.
    return [WorkerRow(**row._mapping) for row in found if row.queues]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """When somebody who has attempts was last heard of.

    :param lease: as in the table: NULL of a worker, whose lease is in the settings.
    :param seen_at: None when nobody listens, as with supervisors whose schedulers are all on their host.
    """

    host: str
    is_worker: bool
    is_alive: bool
    lease: float | None
    seen_at: datetime | None


def find_supervisor(connection: Connection, ident: str) -> Whereabouts | None:
    """Who has attempts under this id."""
    statement = select(_S.host, _S.queues, _S.is_alive, _S.lease, _S.seen_at).where(_S.id == ident)
    row = connection.execute(statement).first()
    if row is None:
        return None
    return Whereabouts(
        host=row.host, is_worker=bool(row.queues), is_alive=row.is_alive, lease=row.lease, seen_at=row.seen_at
    )
