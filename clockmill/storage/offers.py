"""Attempts that wait for a worker to claim them, and when their doorbells are rung again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, delete, func, insert, or_, select, update

from clockmill.clock import backoff
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.tables import Instant, attempt, offer, supervisor

_O = offer.c

#: Seconds until a doorbell that nobody answered is rung again; it doubles with each time.
_FIRST_REPEAT = 15.0
_LONGEST_REPEAT = 3600.0
#: However many workers there are, so many attempts may wait for one: the first worker to come finds something to do.
_LEAST_ROOM = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOffer:
    """An attempt that is offered to the workers of a queue.

    :param workload: as JSON; the worker puts the paths of its own host in.
    """

    attempt_id: str
    executor: str
    queue: str
    priority: int
    workload: dict[str, Any]
    resources: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOffer:
    """What a doorbell says."""

    attempt_id: str
    token: str
    executor: str
    queue: str
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingOffer:
    """An attempt that no worker has claimed, as people are told of it.

    :param since: when it was first offered.
    :param again_at: when its doorbell is rung again.
    """

    executor: str
    queue: str
    since: datetime
    again_at: datetime


def insert_offers(connection: Connection, offers: Sequence[NewOffer], now: datetime) -> None:
    """Offer attempts."""
    if not offers:
        return
    again = now + timedelta(seconds=_FIRST_REPEAT)
    rows = [
        {
            "attempt_id": new.attempt_id,
            "executor": new.executor,
            "queue": new.queue,
            "priority": new.priority,
            "resources": new.resources,
            "workload": new.workload,
            "offer_at": again,
        }
        for new in offers
    ]
    connection.execute(insert(offer), rows)


_DROP = delete(offer).where(_O.attempt_id.in_(bindparam("ids", expanding=True)))


def drop_offers(connection: Connection, attempt_ids: Collection[str]) -> None:
    """Forget the offers of attempts that are over."""
    if attempt_ids:
        connection.execute(_DROP, {"ids": sorted(attempt_ids)})


_DUE = (
    select(_O.attempt_id, _O.executor, _O.queue, _O.priority, _O.offers, attempt.c.token)
    .join(attempt, attempt.c.id == _O.attempt_id)
    .where(_O.offer_at.is_not(None), _O.offer_at <= bindparam("now", type_=Instant))
    .order_by(_O.offer_at)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(of=offer, skip_locked=True)
)
_RING = (
    update(offer)
    .where(_O.attempt_id == bindparam("ident"), _O.offer_at.is_not(None))
    .values(offers=_O.offers + 1, offer_at=bindparam("again", type_=Instant))
)


def ring_again(connection: Connection, now: datetime, limit: int) -> list[OpenOffer]:
    """The offers that nobody has claimed for long enough; each is due again after twice the time."""
    due = connection.execute(_DUE, {"now": now, "most": limit}).all()
    if due:
        connection.execute(_RING, [{"ident": row.attempt_id, "again": now + _pause(row.offers)} for row in due])
    return [
        OpenOffer(
            attempt_id=row.attempt_id, token=row.token, executor=row.executor, queue=row.queue, priority=row.priority
        )
        for row in due
    ]


def _pause(offers: int) -> timedelta:
    return timedelta(seconds=backoff(offers, _FIRST_REPEAT, _LONGEST_REPEAT))


_ONE = (
    select(_O.executor, _O.queue, attempt.c.queued_at.label("since"), _O.offer_at.label("again_at"))
    .join(attempt, attempt.c.id == _O.attempt_id)
    .where(_O.attempt_id == bindparam("ident"), _O.offer_at.is_not(None))
)


def find_offer(connection: Connection, attempt_id: str) -> WaitingOffer | None:
    """What an attempt waits for a worker with; None when it does not wait for one."""
    row = connection.execute(_ONE, {"ident": attempt_id}).one_or_none()
    return None if row is None else WaitingOffer(**row._mapping)


_ANY = select(_O.attempt_id).where(_O.offer_at.is_not(None), _O.executor == bindparam("executor")).limit(1)


def has_offers(connection: Connection, executor: str) -> bool:
    """Whether anything of an executor waits for a worker."""
    return connection.execute(_ANY, {"executor": executor}).first() is not None


NEXT_RING = select(func.min(_O.offer_at)).where(_O.offer_at.is_not(None))

_SERVED = select(supervisor.c.executor, supervisor.c.queues, supervisor.c.slots).where(
    supervisor.c.is_alive, ~supervisor.c.is_draining, supervisor.c.seen_at.is_not(None)
)
# What asks for resources is offered only when a worker has them free: it does not count while nobody has claimed it.
_LIVE = (
    select(attempt.c.executor, attempt.c.queue, func.count())
    .where(LIVE_ATTEMPT, or_(attempt.c.resources.is_(None), attempt.c.supervisor_id.is_not(None)))
    .group_by(attempt.c.executor, attempt.c.queue)
)


class QueueRoom(dict[str, int]):
    """How many attempts more may be made for each queue of an executor.

    Each queue has a room of its own: what nobody takes from one must not keep workers of another waiting.
    """

    def __missing__(self, queue: str) -> int:
        return self.setdefault(queue, _LEAST_ROOM)

    @property
    def total(self) -> int:
        """Of all queues that somebody serves or that something waits in; while there is none, that of any."""
        return sum(self.values()) if self else _LEAST_ROOM


def room_for_offers(connection: Connection, executors: Iterable[str]) -> dict[str, QueueRoom]:
    """The room of the queues of each of these executors.

    As many again as its workers can run are kept waiting for them: more would only take from the order of priorities.
    """
    rooms = {name: QueueRoom() for name in executors}
    served: Counter[tuple[str, str]] = Counter()
    for row in connection.execute(_SERVED):
        served.update({(row.executor, queue): row.slots for queue in row.queues})
    live = {(row[0], row[1]): row[2] for row in connection.execute(_LIVE)}
    for name, queue in served.keys() | live.keys():
        if name in rooms:
            used = live.get((name, queue), 0)
            rooms[name][queue] = max(0, max(_LEAST_ROOM, 2 * served[name, queue]) - used)
    return rooms
