"""Attempts that wait for a worker to claim them, and when their doorbells are rung again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

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
    :param is_rung: whether its doorbell is rung with it.
    """

    attempt_id: str
    executor: str
    queue: str
    priority: int
    workload: dict[str, Any]
    resources: str | None = None
    is_rung: bool = True


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
            "offers": 1 if new.is_rung else 0,
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


_UNRUNG = (
    select(_O.attempt_id, _O.executor, _O.queue, _O.priority, attempt.c.token)
    .join(attempt, attempt.c.id == _O.attempt_id)
    .where(
        _O.offer_at.is_not(None),
        _O.offers == literal_column("0"),
        _O.executor.in_(bindparam("names", expanding=True)),
        (_O.executor + " " + _O.queue).not_in(bindparam("silent", expanding=True)),
    )
    .order_by(_O.priority.desc(), _O.attempt_id)
    .limit(bindparam("most", type_=Integer))
)
_RUNG = update(offer).where(_O.attempt_id.in_(bindparam("ids", expanding=True))).values(offers=1)


def ring_again(connection: Connection, now: datetime, limit: int) -> list[OpenOffer]:
    """The offers that nobody has claimed for long enough; each is due again after twice the time."""
    due = connection.execute(_DUE, {"now": now, "most": limit}).all()
    if due:
        connection.execute(_RING, [{"ident": row.attempt_id, "again": now + _pause(row.offers)} for row in due])
    return [_open(row) for row in due]


def ring_at_last(
    connection: Connection, executors: Collection[str], silent: Collection[tuple[str, str]], limit: int
) -> list[OpenOffer]:
    """The offers to these executors whose doorbell was never rung; now it is to be.

    :param silent: the queues for which it is not rung now either, each with its executor.
    """
    told = {"names": sorted(executors), "silent": [f"{name} {queue}" for name, queue in silent], "most": limit}
    found = connection.execute(_UNRUNG, told).all()
    if found:
        connection.execute(_RUNG, {"ids": [row.attempt_id for row in found]})
    return [_open(row) for row in found]


def _open(row: Any) -> OpenOffer:
    return OpenOffer(
        attempt_id=row.attempt_id, token=row.token, executor=row.executor, queue=row.queue, priority=row.priority
    )


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


_QUEUES = (
    select(_O.executor, _O.queue)
    .where(_O.offer_at.is_not(None), _O.executor.in_(bindparam("names", expanding=True)))
    .distinct()
)


def offered_queues(connection: Connection, executors: Collection[str]) -> set[tuple[str, str]]:
    """``(executor, queue)`` of what waits for a worker of one of these executors."""
    return {(row.executor, row.queue) for row in connection.execute(_QUEUES, {"names": sorted(executors)})}


NEXT_RING = select(func.min(_O.offer_at)).where(_O.offer_at.is_not(None))

_CLAIMED = (
    select(func.count()).where(LIVE_ATTEMPT, attempt.c.supervisor_id == supervisor.c.id).correlate(supervisor)
).scalar_subquery()
_SERVED = select(
    supervisor.c.executor, supervisor.c.queues, supervisor.c.slots, (supervisor.c.slots - _CLAIMED).label("free")
).where(supervisor.c.is_alive, ~supervisor.c.is_draining, supervisor.c.seen_at.is_not(None))
# What asks for resources is offered only when a worker has them free: it does not count while nobody has claimed it.
_LIVE = (
    select(attempt.c.executor, attempt.c.queue, func.count())
    .where(LIVE_ATTEMPT, or_(attempt.c.resources.is_(None), attempt.c.supervisor_id.is_not(None)))
    .group_by(attempt.c.executor, attempt.c.queue)
)


@dataclass(frozen=True, slots=True)
class QueueRoom:
    """How many attempts more may be made for each queue of an executor.

    Each queue has a room of its own: what nobody takes from one must not keep workers of another waiting.

    :ivar known: the room of each queue that somebody serves or that something waits in.
    :ivar saturated: the queues whose workers all have as many attempts as they can run at once.
    """

    known: dict[str, int] = field(default_factory=dict)
    saturated: set[str] = field(default_factory=set)

    def of(self, queue: str) -> int:
        """The room of one queue; where nobody serves it and nothing waits in it, the least that there is."""
        return self.known.get(queue, _LEAST_ROOM)

    @property
    def total(self) -> int:
        """Of all queues that are known; while there is none, that of any."""
        return sum(self.known.values()) if self.known else _LEAST_ROOM


def room_for_offers(
    connection: Connection, executors: Iterable[str], lately: Mapping[tuple[str, str], int]
) -> dict[str, QueueRoom]:
    """The room of the queues of each of these executors.

    As many again as its workers can run are kept waiting for them, and where tasks are short, as many as were over
    lately: more would only take from the order of priorities.

    :param lately: by executor and queue, how many attempts ended within the time that another one may well wait.
    :returns: by executor.
    """
    rooms = {name: QueueRoom() for name in executors}
    slots: dict[tuple[str, str], int] = {}
    idle: set[tuple[str, str]] = set()
    for row in connection.execute(_SERVED):
        for key in ((row.executor, queue) for queue in row.queues):
            slots[key] = slots.get(key, 0) + row.slots
            idle |= {key} if row.free > 0 else set()
    live = {(row[0], row[1]): row[2] for row in connection.execute(_LIVE)}
    for key in slots.keys() | live.keys():
        name, queue = key
        if name in rooms:
            wanted = slots.get(key, 0) + max(slots.get(key, 0), lately.get(key, 0))
            rooms[name].known[queue] = max(0, max(_LEAST_ROOM, wanted) - live.get(key, 0))
    for name, queue in slots.keys() - idle:
        if name in rooms:
            rooms[name].saturated.add(queue)
    return rooms
