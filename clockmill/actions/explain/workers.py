"""A task that workers have to take: whether one serves its queue, what keeps those from it, and whether they live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

from clockmill.actions.explain.answer import Explanation, Reason, Subject, holders_of, moment_text
from clockmill.actions.explain.resources import shortages
from clockmill.config.settings import WorkersSettings
from clockmill.errors import did_you_mean
from clockmill.storage.attempts import live_holders
from clockmill.storage.engine import Connection
from clockmill.storage.offers import find_offer, has_offers, room_for_offers
from clockmill.storage.worker_list import WorkerRow, find_supervisor, list_workers, silence

#: Of more workers, only the number is told.
_MOST_NAMED = 5
_LATELY = timedelta(days=1)


def explain_offer(answer: Explanation, subject: Subject, attempt_id: str) -> bool:
    """Say why no worker has taken it; whether it is offered at all."""
    found = find_offer(subject.connection, attempt_id)
    if found is None:
        return False
    reasons = [
        *worker_reasons(subject, found.executor, is_offered=True),
        *shortages(subject, found.executor, is_offered=True),
    ]
    if not reasons:
        serving = _serving(_living(_workers(subject, found.executor)), found.queue)
        reasons = [
            Reason(f"{_count(serving)} the queue {found.queue!r} of {found.executor}: {_load(serving)} slots are busy.")
        ]
    answer.verdict = reasons[0].text
    answer.holders = reasons[0].holders()
    since, again = moment_text(found.since), moment_text(found.again_at)
    answer.details = [f"also: {reason.text}" for reason in reasons[1:]]
    answer.details += [f"It is offered to workers since {since}; its doorbell is rung again at {again}."]
    return True


def has_workers(subject: Subject, executor: str) -> bool:
    """Whether workers run the tasks of an executor, as far as the database knows."""
    return bool(_workers(subject, executor)) or has_offers(subject.connection, executor)


def worker_reasons(subject: Subject, executor: str, *, is_offered: bool = False) -> Iterator[Reason]:
    """What keeps all workers that could take it from taking it, resources aside.

    :param is_offered: whether they may take it already.
    """
    connection, queue = subject.connection, subject.row.queue
    known = _workers(subject, executor)
    serving = _serving(_living(known), queue)
    willing = [each for each in serving if not each.is_draining]
    awake = [each for each in willing if _silence(each.seen_at, subject.now, subject.workers) is None]
    if not serving:
        yield Reason(_nobody(known, executor, queue))
    elif not willing:
        yield Reason(
            f"No worker serves the queue {queue!r} of {executor} any more: {_who(serving)} "
            f"{'is' if len(serving) == 1 else 'are'} draining, which takes nothing new."
        )
    elif not awake:
        told = (
            f"{each.id} on {each.host} for {_silence(each.seen_at, subject.now, subject.workers)}"
            for each in willing[:_MOST_NAMED]
        )
        yield Reason(
            f"No worker that serves the queue {queue!r} of {executor} is heard of: silent is {', '.join(told)}; "
            f"after {subject.workers.lease_seconds:g} s a worker is given up."
        )
    elif all(each.busy >= each.slots for each in awake):
        whose = "the worker that serves" if len(awake) == 1 else f"the {len(awake)} workers that serve"
        find = partial(live_holders, connection, supervisors=[each.id for each in awake])
        text = f"Every slot of {whose} the queue {queue!r} of {executor} is taken: {_load(awake)}."
        yield Reason(text, lambda: holders_of(find()))
    if not is_offered and room_for_offers(connection, [executor], {})[executor].of(queue) == 0:
        yield Reason(f"As many tasks of the queue {queue!r} as {executor} offers at once wait for workers already.")


def silence_of(
    connection: Connection, supervisor_id: str, now: datetime | None, workers: WorkersSettings
) -> str | None:
    """A sentence on who has an attempt and was not heard of lately; None when there is nothing to say."""
    found = find_supervisor(connection, supervisor_id)
    if found is None:
        return None
    what = f"Its {'worker' if found.is_worker else 'supervisor'} {supervisor_id} on {found.host}"
    if not found.is_alive:
        return f"{what} is gone; a scheduler is about to say what became of the attempt."
    length = _silence(found.seen_at, now, workers)
    lease = workers.lease_seconds if found.lease is None else found.lease
    if length is None:
        return None
    return f"{what} has been silent for {length}; after {lease:g} s it is given up, and the attempt is lost."


def _silence(seen_at: datetime | None, now: datetime | None, workers: WorkersSettings) -> str | None:
    seconds = None if now is None else silence(seen_at, now, workers.beat_seconds)
    return None if seconds is None else f"{seconds:.0f} s"


def _workers(subject: Subject, executor: str) -> list[WorkerRow]:
    lately = None if subject.now is None else subject.now - _LATELY
    return [each for each in list_workers(subject.connection, lately) if each.executor == executor]


def _living(known: Sequence[WorkerRow]) -> list[WorkerRow]:
    return [each for each in known if each.is_alive]


def _serving(known: Sequence[WorkerRow], queue: str) -> list[WorkerRow]:
    return [each for each in known if queue in each.queues]


def _nobody(known: Sequence[WorkerRow], executor: str, queue: str) -> str:
    """That no living worker serves a queue, what is served instead, and who did last."""
    text = f"No worker serves the queue {queue!r} of {executor}"
    others = sorted({name for each in _living(known) for name in each.queues})
    served = ", ".join(map(repr, others))
    text += f"; served are {served}.{did_you_mean(queue, others)}" if others else ": none is there."
    gone = _serving(known, queue)
    if gone:
        last = max(gone, key=lambda each: each.seen_at)
        text += f" The last one that did, {last.id} on {last.host}, was seen at {moment_text(last.seen_at)}."
    return text


def _who(workers: Sequence[WorkerRow]) -> str:
    named = [f"{each.id} on {each.host}" for each in workers[:_MOST_NAMED]]
    more = len(workers) - _MOST_NAMED
    return ", ".join([*named, f"{more} more"] if more > 0 else named)


def _count(workers: Sequence[WorkerRow]) -> str:
    return "1 worker serves" if len(workers) == 1 else f"{len(workers)} workers serve"


def _load(workers: Sequence[WorkerRow]) -> str:
    busy, slots = sum(min(each.busy, each.slots) for each in workers), sum(each.slots for each in workers)
    return f"{busy} of {slots}"
