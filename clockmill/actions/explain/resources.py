"""A task that asks for resources which nobody has free, or has at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from clockmill.actions.explain.answer import Holder, Reason, Subject
from clockmill.state.packing import Ask, Packing
from clockmill.state.resources import Amounts, from_text, minus, share, spoken
from clockmill.storage.admission import Full, ReadyTask, asking_tasks
from clockmill.storage.resources import Source, asking_holders, sources

#: Of more machines than these, only the first are named.
_MOST_NAMED = 5
#: Tasks that are looked at to find one that keeps resources for itself.
_HEADS = 50


def shortages(subject: Subject, name: str, *, is_offered: bool = False) -> Iterator[Reason]:
    """What of the resources is missing, if the task asks for any and somebody is there to have them.

    :param name: its executor.
    :param is_offered: whether workers may take it already, so that the scheduler keeps nothing from it.
    """
    row = subject.row
    if row.resources is None:
        return
    ask = Ask(name, row.queue, from_text(row.resources), (row.lane, row.priority), str(row.id))
    found = [each for each in sources(subject.connection, [name] if name else None) if _serves(each, ask)]
    if not found:
        return
    packing = Packing({name: {each.id: each.place for each in found}})
    wanted = f"It asks for {spoken(ask.amounts)}"
    if not packing.could_hold(ask):
        offers = _told(found, ask, _offered)
        yield Reason(f"{wanted}, which nobody offers: {offers}. It starts when somebody comes who does.")
    elif not packing.has_room(ask):
        text = f"{wanted}, which is not free at the moment: {_told(found, ask, _free)} free."
        yield Reason(text, partial(_holders, subject, name, found))
    elif not is_offered and (first := _kept_for(subject, name, ask, packing)) is not None:
        text = (
            f"{wanted}, which is free, but kept for {first.dag_id} {first.task_id}: that one waits for "
            f"{spoken(from_text(first.resources))}, is as urgent and older."
        )
        yield Reason(text)


def _serves(source: Source, ask: Ask) -> bool:
    return source.place.queues is None or ask.queue in source.place.queues


def _free(source: Source) -> Amounts:
    return minus(source.place.offered or {}, source.place.used)


def _offered(source: Source) -> Amounts:
    return source.place.offered or {}


def _told(found: Sequence[Source], ask: Ask, amounts: Callable[[Source], Amounts]) -> str:
    """``one has 2 cpu, two has 4 cpu``: of what is asked for alone."""
    # Supervisors of a scheduler share what their host has; a worker has its own.
    having = {_whose(each): {name: max(0.0, amounts(each).get(name, 0)) for name in ask.amounts} for each in found}
    order = sorted(having, key=lambda who: (-share(having[who], ask.amounts), who))
    named = [f"{who} has {spoken(having[who])}" for who in order[:_MOST_NAMED]]
    more = len(having) - _MOST_NAMED
    return ", ".join([*named, f"{more} more have no more than that"] if more > 0 else named)


def _whose(source: Source) -> str:
    return source.host if source.place.queues is None else f"{source.id} on {source.host}"


def _holders(subject: Subject, name: str, found: Sequence[Source]) -> list[Holder]:
    workers = [each.id for each in found if each.place.queues is not None]
    return [
        Holder(
            what=f"{row.dag_id} {row.run_id} {row.task_id}"
            + (f"[{row.map_index}]" if row.map_index >= 0 else "")
            + f" ({spoken(from_text(row.resources))})",
            since=row.since,
        )
        for row in asking_holders(subject.connection, name or None, workers, limit=20)
    ]


def _kept_for(subject: Subject, name: str, ask: Ask, packing: Packing) -> ReadyTask | None:
    """The task for which the room is kept."""
    names = {subject.row.executor, name}
    waiting = asking_tasks(subject.connection, names, Full(), limit=_HEADS)
    asks = [
        Ask(name, each.queue, from_text(each.resources), (each.lane, each.priority), str(each.id)) for each in waiting
    ]
    packing.hold(name, asks)
    if packing.place_for(ask) is not None:
        return None
    return next((each for each, told in zip(waiting, asks, strict=True) if packing.could_hold(told)), None)
