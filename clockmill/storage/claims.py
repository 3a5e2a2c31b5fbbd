"""Claims of what asks for resources: a worker gets what fits into what it has free. Its row is held meanwhile."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, Integer, bindparam, select

from clockmill.state.packing import Ask, Place, claimable
from clockmill.state.resources import Amounts, from_text, plus
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.tables import attempt, offer

_A, _O = attempt.c, offer.c

#: Offers that are looked at; those further behind wait until some of these are gone.
_MOST = 500

_USED = select(_A.resources).where(LIVE_ATTEMPT, _A.supervisor_id == bindparam("worker"), _A.resources.is_not(None))
_WAITING = (
    select(_O.attempt_id, _O.queue, _O.priority, _O.resources, _A.token)
    .join(attempt, _A.id == _O.attempt_id)
    .where(
        _O.offer_at.is_not(None),
        _O.resources.is_not(None),
        _O.executor == bindparam("executor"),
        _O.queue.in_(bindparam("queues", expanding=True)),
    )
    .order_by(_O.priority.desc(), _O.attempt_id)
    .limit(bindparam("most", type_=Integer))
)
_STILL_OPEN = select(_O.attempt_id).where(
    _O.attempt_id.in_(bindparam("ids", expanding=True)), _O.offer_at.is_not(None), _O.resources.is_not(None)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """A worker that claims.

    :param resources: what it offers; None when it does not say.
    """

    id: str
    executor: str
    queues: list[str]
    resources: Amounts | None


def what_fits(
    connection: Connection, worker: Claimant, wanted: Collection[str] | None, most: int
) -> list[tuple[str, str]]:
    """Of what asks for resources and is offered to a worker, what it gets.

    When it wants what is kept for another that waits longer and fits, it gets that one instead.

    :param wanted: the ids of those that it claims; None for any.
    :param most: how many it takes.
    :returns: ``(attempt id, token)``.
    """
    told = {"executor": worker.executor, "queues": sorted(worker.queues), "most": _MOST}
    waiting = connection.execute(_WAITING, told).all()
    tokens = {row.attempt_id: row.token for row in waiting}
    chosen = tokens.keys() if wanted is None else tokens.keys() & wanted
    if not chosen:
        return []
    asks = [Ask("", row.queue, from_text(row.resources), (0, row.priority), row.attempt_id) for row in waiting]
    place = Place(worker.resources, used=_used(connection, worker.id))
    return [(ident, tokens[ident]) for ident in claimable(place, asks, chosen, most)]


def still_open(connection: Connection, attempt_ids: Collection[str]) -> list[str]:
    """Those of these attempts that ask for resources and that nobody has claimed yet."""
    return sorted(connection.scalars(_STILL_OPEN, {"ids": sorted(attempt_ids)})) if attempt_ids else []


def _used(connection: Connection, worker_id: str) -> Amounts:
    used: Amounts = {}
    for text in connection.scalars(_USED, {"worker": worker_id}):
        used = plus(used, from_text(text))
    return used
