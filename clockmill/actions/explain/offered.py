"""A task that is offered to workers, and that none has taken."""

from __future__ import annotations

from collections.abc import Sequence

from clockmill.actions.explain.answer import Explanation, moment_text
from clockmill.storage.engine import Connection
from clockmill.storage.worker_list import OfferRow, WorkerRow, find_offer, list_workers


def explain_offer(answer: Explanation, connection: Connection, attempt_id: str) -> bool:
    """Say who could take it; whether it is offered at all."""
    found = find_offer(connection, attempt_id)
    if found is None:
        return False
    answer.verdict = f"No worker has taken it since {moment_text(found.since)}."
    alive = [
        each for each in list_workers(connection, found.since) if each.is_alive and each.executor == found.executor
    ]
    answer.details = [_who(found, alive), f"Its doorbell is rung again at {moment_text(found.again_at)}."]
    return True


def _who(found: OfferRow, alive: Sequence[WorkerRow]) -> str:
    serving = [each for each in alive if found.queue in each.queues and not each.is_draining]
    if serving:
        busy, slots = sum(each.busy for each in serving), sum(each.slots for each in serving)
        workers = "1 worker serves" if len(serving) == 1 else f"{len(serving)} workers serve"
        return f"{workers} the queue {found.queue!r} of {found.executor}: {busy} of {slots} slots are busy."
    nobody = f"No worker serves the queue {found.queue!r} of {found.executor}"
    others = sorted({queue for each in alive if not each.is_draining for queue in each.queues})
    if others:
        return f"{nobody}; served are {', '.join(map(repr, others))}."
    leaving = ": all of them are draining." if alive else ": none is alive."
    return nobody + leaving
