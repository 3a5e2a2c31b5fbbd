"""Claims: a worker gets what nobody has claimed yet and, of what asks for resources, what fits into what it has free.

Its row is held meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Integer, bindparam, or_, select, update

from clockmill.state.packing import Ask, Place, claimable
from clockmill.state.resources import Amounts, from_text, plus
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.tables import attempt, offer
from clockmill.storage.transitions import claim_attempts

_A, _O = attempt.c, offer.c

#: Offers that are looked at; those further behind wait until some of these are gone.
_MOST = 500

_USED = select(_A.resources).where(LIVE_ATTEMPT, _A.supervisor_id == bindparam("worker"), _A.resources.is_not(None))
_OFFERED = (
    select(_O.attempt_id, _O.queue, _O.priority, _O.resources, _A.token)
    .join(attempt, _A.id == _O.attempt_id)
    .where(
        _O.offer_at.is_not(None),
        _O.executor == bindparam("executor"),
        _O.queue.in_(bindparam("queues", expanding=True)),
    )
    .order_by(_O.priority.desc(), _O.attempt_id)
    .limit(bindparam("most", type_=Integer))
)
_ASKING = _OFFERED.where(_O.resources.is_not(None))
_OPEN = _OFFERED.with_for_update(of=offer, skip_locked=True)
_OPEN_AND_FITTING = _OPEN.where(or_(_O.resources.is_(None), _O.attempt_id.in_(bindparam("fitting", expanding=True))))
_CLAIMED = update(offer).where(_O.attempt_id.in_(bindparam("ids", expanding=True))).values(offer_at=None)
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


def claim_offers(
    connection: Connection, worker: Claimant, claims: Sequence[tuple[str, str]], now: datetime
) -> tuple[set[str], list[str]]:
    """Give a worker the attempts that nobody has claimed yet; its row is held.

    :param claims: ``(attempt id, token)``.
    :returns: the ids of those that it got, and of those that are still offered but do not fit into what it has free.
    """
    won = _claim(connection, worker, claims, now, asking=False)
    rest = {ident for ident, _ in claims} - won
    if not still_open(connection, rest):
        return won, []
    won |= _claim(connection, worker, what_fits(connection, worker, rest, len(rest)), now, asking=True)
    return won, still_open(connection, rest - won)


def claim_any(connection: Connection, worker: Claimant, most: int, now: datetime) -> set[str]:
    """Give a worker the most urgent offers of its queues, ``most`` at most; returns their ids."""
    told = {"executor": worker.executor, "queues": sorted(worker.queues), "most": most}
    found = connection.execute(_OPEN, told).all()
    if any(row.resources is not None for row in found):
        fitting = [ident for ident, _ in what_fits(connection, worker, None, most)]
        found = connection.execute(_OPEN_AND_FITTING, told | {"fitting": fitting}).all()
    return _claim(connection, worker, [(row.attempt_id, row.token) for row in found], now, asking=True)


def _claim(
    connection: Connection, worker: Claimant, claims: Sequence[tuple[str, str]], now: datetime, *, asking: bool
) -> set[str]:
    won = claim_attempts(connection, worker.id, claims, now, asking=asking) if claims else set()
    if won:
        connection.execute(_CLAIMED, {"ids": sorted(won)})
    return won


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
    waiting = connection.execute(_ASKING, told).all()
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
