"""A task that asks for resources which nobody has free, or has at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clockmill.actions.explain.answer import Holder, Subject
from clockmill.state.packing import Ask, Packing
from clockmill.state.resources import Amounts, from_text, minus, spoken
from clockmill.storage.admission import Full, ReadyTask, asking_tasks
from clockmill.storage.resources import Source, asking_holders, sources

#: Of more machines than these, only the first are named.
_MOST_NAMED = 5
#: Tasks that are looked at to find one that keeps resources for itself.
_HEADS = 50


@dataclass(frozen=True, slots=True)
class Shortage:
    """What is missing, and who has it."""

    text: str
    holders: list[Holder]


def shortages(subject: Subject) -> Iterator[Shortage]:
    """What of the resources is missing, if the task asks for any and somebody is there to have them."""
    row, name = subject.row, subject.row.executor or subject.default_executor
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
        yield Shortage(f"{wanted}, which nobody offers: {offers}. It starts when somebody comes who does.", [])
    elif not packing.has_room(ask):
        text = f"{wanted}, which is not free at the moment: {_told(found, ask, _free)} free."
        yield Shortage(text, _holders(subject, name))
    elif (first := _kept_for(subject, name, ask, packing)) is not None:
        text = (
            f"{wanted}, which is free, but kept for {first.dag_id} {first.task_id}: that one waits for "
            f"{spoken(from_text(first.resources))}, is as urgent and older."
        )
        yield Shortage(text, [])


def _serves(source: Source, ask: Ask) -> bool:
    return source.place.queues is None or ask.queue in source.place.queues


def _free(source: Source) -> Amounts:
    return minus(source.place.offered or {}, source.place.used)


def _offered(source: Source) -> Amounts:
    return source.place.offered or {}


def _told(found: Sequence[Source], ask: Ask, amounts: Callable[[Source], Amounts]) -> str:
    """``one has 2 cpu, two has 4 cpu``: of what is asked for alone."""
    hosts = {each.host: {name: max(0.0, amounts(each).get(name, 0)) for name in ask.amounts} for each in found}
    named = [f"{host} has {spoken(hosts[host])}" for host in sorted(hosts)[:_MOST_NAMED]]
    return ", ".join([*named, *([f"{len(hosts) - _MOST_NAMED} more have less"] if len(hosts) > _MOST_NAMED else [])])


def _holders(subject: Subject, name: str) -> list[Holder]:
    return [
        Holder(
            what=f"{row.dag_id} {row.run_id} {row.task_id}"
            + (f"[{row.map_index}]" if row.map_index >= 0 else "")
            + f" ({spoken(from_text(row.resources))})",
            since=row.since,
        )
        for row in asking_holders(subject.connection, name or None, limit=20)
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
