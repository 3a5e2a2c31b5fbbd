"""The workers that there are, and those that were here lately, for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, inspect, select, text

from clockmill.storage.tables import Instant, supervisor

_S = supervisor.c

#: One that missed so many beats is worth a word.
_BEATS_MISSED = 3
#: Of those that are gone, where each start makes a new one.
_MOST_GONE = 100
#: One that was silent for so long while no scheduler is there to say that it is gone does no work.
_AT_WORK = timedelta(seconds=30)


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
    gateway: str
    queues: list[str]
    slots: int
    busy: int
    resources: dict[str, float] | None
    is_alive: bool
    is_draining: bool
    started_at: datetime
    seen_at: datetime

    def state(self, now: datetime, beat_seconds: float) -> str:
        """``alive``, ``draining`` when it takes no new work, ``silent``, or ``gone`` when it left or was given up."""
        if not self.is_alive:
            return "gone"
        if silence(self.seen_at, now, beat_seconds) is not None:
            return "silent"
        return "draining" if self.is_draining else "alive"


def silence(seen_at: datetime | None, now: datetime, beat_seconds: float) -> float | None:
    """For how many seconds somebody was not heard of who should have been; None when all is well, or nobody knows."""
    seconds = (now - seen_at).total_seconds() if seen_at is not None else 0.0
    return seconds if seconds > _BEATS_MISSED * beat_seconds else None


_COLUMNS = [_S[name] for name in WorkerRow.__dataclass_fields__]
_SEEN = select(*_COLUMNS).where(_S.seen_at.is_not(None))
# Written out, since SQLite takes a partial index only for its own words; and put in order later, since it would rather
# walk through all that are gone than sort a few.
_ALIVE = _SEEN.where(text("supervisor.is_alive"))
_GONE = (
    _SEEN.where(~_S.is_alive, _S.seen_at >= bindparam("since", type_=Instant))
    .order_by(_S.seen_at.desc(), _S.id)
    .limit(_MOST_GONE)
)


def list_workers(connection: Connection, gone_since: datetime | None) -> list[WorkerRow]:
    """The workers by executor, host and start, then the last that are gone, the latest first.

    :param gone_since: those that are gone are listed when they were seen after this; None leaves them out.
    """
    found = sorted(connection.execute(_ALIVE), key=lambda row: (row.executor, row.host, row.started_at, row.id))
    if gone_since is not None:
        found += connection.execute(_GONE, {"since": gone_since})
    # A supervisor of a scheduler is seen as well where several machines share the work; it serves no queues.
    return [WorkerRow(**row._mapping) for row in found if row.queues]


def workers_at_work(connection: Connection, now: datetime) -> list[WorkerRow]:
    """The workers that were heard of just now; none while the schema is another one than that of this program."""
    inspector = inspect(connection)
    if not inspector.has_table(supervisor.name):
        return []
    if not {column.name for column in _COLUMNS} <= {
        column["name"] for column in inspector.get_columns(supervisor.name)
    }:
        return []
    return [each for each in list_workers(connection, None) if now - each.seen_at <= _AT_WORK]


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
