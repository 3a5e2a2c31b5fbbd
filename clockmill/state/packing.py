"""Where attempts that ask for resources are put, so that none is exceeded and nobody waits for ever.

An attempt goes where it fits and leaves the least over. That alone would let a stream of small tasks keep a large one
out for ever. So of the tasks of an executor that lack nothing but resources the first, by urgency and then by age,
holds a place: where it fits, else where the least is missing. Of what is free there, whoever is not more urgent and
asks for something else gets only what the holder leaves over. What is free at that place can thus only grow until the
holder has it; then the next one holds a place. Tasks that ask for the same take turns as ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from clockmill.state.resources import Amounts, fits, minus, plus, share

#: Lane and priority, see :mod:`clockmill.state.admission`.
Level = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a task asks for.

    :param level: how urgent it is: lane and priority.
    :param ident: which one it is.
    """

    executor: str
    queue: str
    amounts: Amounts
    level: Level = (0, 0)
    ident: str = ""

    def is_same_as(self, other: Ask) -> bool:
        """Whether it makes no difference which of the two has it."""
        return self.queue == other.queue and self.amounts == other.amounts


@dataclass(slots=True)
class Place:
    """A supervisor or worker.

    :param offered: what it has; None for one that does not say, where the slots alone count.
    :param used: of that, what live attempts have asked for.
    :param slots: free slots; None where those are counted elsewhere.
    :param queues: the queues that it serves; None for all.
    """

    offered: Amounts | None
    used: Amounts = field(default_factory=dict)
    slots: int | None = None
    queues: frozenset[str] | None = None

    @property
    def free(self) -> Amounts:
        """What nobody has asked for yet."""
        return minus(self.offered or {}, self.used)

    def could_hold(self, ask: Ask) -> bool:
        """Whether it would fit if nothing else were there."""
        serves = self.queues is None or ask.queue in self.queues
        return serves and (self.offered is None or fits(ask.amounts, self.offered))

    def has_room(self, ask: Ask, kept: Amounts | None = None) -> bool:
        """Whether it fits now.

        :param kept: what is to stay free beside it.
        """
        if not self.could_hold(ask) or self.slots == 0:
            return False
        return self.offered is None or fits(ask.amounts, minus(self.free, kept or {}))

    def left_over(self, ask: Ask) -> float:
        """How much of it would stay unused."""
        return share(minus(self.free, ask.amounts), self.offered or {})

    def missing(self, ask: Ask) -> float:
        """How much of what is asked for is in use."""
        return share(minus(ask.amounts, self.free), {name: (self.offered or {}).get(name, 0) for name in ask.amounts})

    def take(self, amounts: Amounts) -> None:
        """Somebody begins there."""
        self.used = plus(self.used, amounts)
        self.slots = None if self.slots is None else self.slots - 1


def urgency(level: Level) -> tuple[int, int]:
    """Smaller is more urgent."""
    lane, priority = level
    return lane, -priority


class Packing:
    """The places of executors, by executor and name, and who holds one."""

    def __init__(self, places: Mapping[str, Mapping[str, Place]]) -> None:
        self._places = places
        self._waiting: dict[str, deque[Ask]] = {}
        self._held: dict[str, tuple[str, Ask]] = {}
        self._put: set[str] = set()

    def could_hold(self, ask: Ask) -> bool:
        """Whether any place would have room if nothing else were there."""
        return any(place.could_hold(ask) for place in self._of(ask).values())

    def has_room(self, ask: Ask) -> bool:
        """Whether it fits somewhere now, whoever holds a place."""
        return any(place.has_room(ask) for place in self._of(ask).values())

    def hold(self, executor: str, waiting: Iterable[Ask]) -> None:
        """Keep a place for the first of those that wait, and for the next one when that is put.

        :param waiting: those that lack nothing but resources, the most urgent and oldest first.
        """
        self._waiting[executor] = deque(waiting)
        self._hold_next(executor)

    def place_for(self, ask: Ask) -> str | None:
        """Where it fits best, beside whoever holds a place; None when it has to wait."""
        places = {name: place for name, place in self._of(ask).items() if place.has_room(ask, self._kept(name, ask))}
        return min(places, key=lambda name: (places[name].left_over(ask), name), default=None)

    def any_place(self, executor: str) -> str | None:
        """Where something that asks for nothing goes: where most slots are free; None where nobody counts them."""
        places = {name: place.slots for name, place in self._places.get(executor, {}).items() if place.slots}
        return max(places, key=lambda name: (places[name], name), default=None)

    def put(self, ask: Ask, name: str) -> None:
        """It begins there."""
        self._places[ask.executor][name].take(ask.amounts)
        self._put.add(ask.ident)
        _, holder = self._held.get(ask.executor, (None, None))
        if holder is not None and holder.ident == ask.ident:
            self._hold_next(ask.executor)

    def put_plain(self, executor: str, name: str) -> None:
        """Something that asks for nothing begins there."""
        self._places[executor][name].take({})

    def _hold_next(self, executor: str) -> None:
        """The place is the one where it fits and leaves least over, or else where the least is missing."""
        self._held.pop(executor, None)
        waiting = self._waiting[executor]
        while waiting and executor not in self._held:
            ask = waiting.popleft()
            places = {name: place for name, place in self._of(ask).items() if place.could_hold(ask)}
            if places and ask.ident not in self._put:
                chosen = min(places, key=lambda name: (places[name].missing(ask), places[name].left_over(ask), name))
                self._held[executor] = chosen, ask

    def _of(self, ask: Ask) -> Mapping[str, Place]:
        return self._places.get(ask.executor, {})

    def _kept(self, name: str, ask: Ask) -> Amounts | None:
        held, holder = self._held.get(ask.executor, (None, None))
        if holder is None or held != name or ask.is_same_as(holder) or urgency(ask.level) < urgency(holder.level):
            return None
        return holder.amounts


def claimable(place: Place, waiting: Sequence[Ask], wanted: Collection[str], most: int) -> list[str]:
    """What a worker gets of what is offered, as far as it fits; the first that it could hold holds it.

    When somebody wants in vain what that one keeps free, it gets that one instead.

    :param waiting: all that is offered to it, the most urgent and oldest first.
    :param wanted: the idents of those that it claims.
    :param most: how many it takes.
    :returns: the idents of those that it gets.
    """
    packing = Packing({ask.executor: {"": place} for ask in waiting})
    for executor in {ask.executor for ask in waiting}:
        packing.hold(executor, waiting)
    found: list[str] = []
    refused = 0
    for ask in waiting:
        if ask.ident in wanted and len(found) < most:
            if packing.place_for(ask) is None:
                refused += 1
            else:
                packing.put(ask, "")
                found.append(ask.ident)
    first = next((ask for ask in waiting if place.could_hold(ask) and ask.ident not in found), None)
    if refused and first is not None and packing.place_for(first) is not None:
        found.append(first.ident)
    return found
