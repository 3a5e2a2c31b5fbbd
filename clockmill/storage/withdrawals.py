"""Taking back what was offered to the workers of an executor that is no longer chosen."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, select, update

from clockmill.state import AttemptState, Outcome
from clockmill.storage.tables import attempt, lit, offer
from clockmill.storage.worker_reports import report_end

_A, _O = attempt.c, offer.c

_OPEN = (
    select(_O.attempt_id)
    .where(_O.offer_at.is_not(None), _O.executor.in_(bindparam("executors", expanding=True)))
    .order_by(_O.attempt_id)
    .with_for_update(of=offer, skip_locked=True)
)
_DISOWN = (
    update(attempt)
    .where(_A.id.in_(bindparam("ids", expanding=True)), _A.state == lit(AttemptState.QUEUED))
    .values(token=bindparam("new_token"))
    .returning(_A.id)
)
_CLOSE = update(offer).where(_O.attempt_id.in_(bindparam("ids", expanding=True))).values(offer_at=None)


def withdraw_offers(connection: Connection, executors: Collection[str], token: str, reason: str) -> int:
    """Give back what nobody has claimed of these executors, for a scheduler to have it run elsewhere; returns how much.

    What a worker claims at this very moment is its own.

    :param token: one that nobody knows: who was rung for can claim no more.
    """
    found = list(connection.scalars(_OPEN, {"executors": sorted(executors)}))
    ids = sorted(connection.scalars(_DISOWN, {"ids": found, "new_token": token})) if found else []
    if ids:
        connection.execute(_CLOSE, {"ids": ids})
    for ident in ids:
        report_end(connection, ident, token, Outcome.RELEASED, reason)
    return len(ids)
