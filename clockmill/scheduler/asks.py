"""What tasks ask for besides slots, in one pass of admission.

Nothing is read while no task asks for anything. What is read is read under the lock of the pools, so nobody else admits
meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from clockmill.scheduler.ledger import Ledger, ask_of
from clockmill.state import LimitKind, Refusal
from clockmill.state.packing import Ask, Packing, Place
from clockmill.state.resources import from_text
from clockmill.storage.admission import AskKey, Full, ReadyTask, asking_tasks
from clockmill.storage.engine import Connection
from clockmill.storage.resources import sources, unclaimed_asks

#: What is asked for in vain is remembered from pass to pass, so that looks pass it by; so many kinds of it.
_MOST_KNOWN = 100
#: Tasks that are looked at to find those that lack nothing but resources, at a time and how often.
_HEADS = 50
_MOST_LOOKS = 5


class Asks:
    """What is free, who holds a place, and what was refused.

    :param free: free slots by executor and supervisor; the first executor is the default.
    :param brokered: the executors whose workers claim for themselves.
    :param known: what was asked for in vain in the pass before.
    """

    def __init__(
        self,
        connection: Connection,
        executors: Iterable[str],
        free: Mapping[str, Mapping[str, int]],
        brokered: Collection[str],
        known: Iterable[AskKey],
    ) -> None:
        self._connection = connection
        self._executors = list(executors)
        self._free = free
        self._brokered = brokered
        self._known = frozenset(known)
        self._refused: set[AskKey] = set()
        self._impossible: set[AskKey] = set()
        self._packing: Packing | None = None
        self._offered_first: set[str] = set()

    def packing_for(self, ready: Collection[ReadyTask], ledger: Ledger) -> Packing | None:
        """What these tasks are packed into, with a place held for the first that waits; None when none of them asks."""
        asking = {task.executor for task in ready if task.resources is not None}
        if not asking:
            return self._packing
        packing = self._open()
        names = {self._name(executor) for executor in asking}
        for name in sorted(names - self._offered_first):
            packing.hold(name, self._waiting(name, ledger, packing))
        return packing

    def refuse(self, ready: Mapping[int, ReadyTask], refusals: Iterable[Refusal]) -> bool:
        """Remember what was asked for in vain; whether some of it is new, and not for workers to find."""
        refused = {_key(ready[refusal.ident]) for refusal in refusals if refusal.limit.kind is LimitKind.RESOURCES}
        self._refused |= refused
        return any(self._name(key[0]) not in self._brokered for key in refused - self._known)

    def in_vain(self) -> set[AskKey]:
        """What there is no room for."""
        still = {key for key in self._known if not self._open().has_room(self._ask(key))} if self._known else set()
        return self._refused | self._impossible | still

    def to_remember(self) -> list[AskKey]:
        """What the next pass should know."""
        return list(islice(sorted(self.in_vain()), _MOST_KNOWN)) if self._packing is not None else list(self._known)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _open(self) -> Packing:
        if self._packing is None:
            self._packing = Packing(self._places())
            for ask in unclaimed_asks(self._connection, [name for name in self._executors if name in self._brokered]):
                self._count_offer(self._packing, ask)
        return self._packing

    def _places(self) -> dict[str, dict[str, Place]]:
        """Of our own executors those supervisors that have a slot; of others all workers, whose slots they count."""
        places: dict[str, dict[str, Place]] = {
            name: {} if name in self._brokered else {each: Place(None) for each in self._free.get(name, {})}
            for name in self._executors
        }
        for source in sources(self._connection, self._executors):
            if source.executor in self._brokered or source.id in places[source.executor]:
                places[source.executor][source.id] = source.place
        for name, slots in self._free.items():
            for ident in places.get(name, {}).keys() & slots.keys():
                places[name][ident].slots = slots[ident]
        return places

    def _count_offer(self, packing: Packing, ask: Ask) -> None:
        """An offer takes the room that it will be claimed for; the first that finds none holds a place."""
        place = packing.place_for(ask)
        if place is not None:
            packing.put(ask, place)
        elif ask.executor not in self._offered_first and packing.could_hold(ask):
            packing.hold(ask.executor, [ask])
            self._offered_first.add(ask.executor)

    def _waiting(self, name: str, ledger: Ledger, packing: Packing) -> list[Ask]:
        """Of the tasks that lack nothing but resources the most urgent, and of these the oldest."""
        names = {name, ""} if name == self._executors[0] else {name}
        full: Full = ledger.full()
        found: list[Ask] = []
        rows: list[ReadyTask] = []
        for _ in range(_MOST_LOOKS):
            known = len(self._impossible)
            full.asks = self._impossible
            rows = asking_tasks(self._connection, names, full, limit=_HEADS)
            for row in rows:
                if not packing.could_hold(ask_of(row, name)):
                    self._impossible.add(_key(row))
            found = [ask_of(row, name) for row in rows if _key(row) not in self._impossible]
            if found or len(self._impossible) == known:
                break
        ready = ledger.lacking_nothing_else(rows)
        return [ask for ask in found if ask.ident in ready]

    def _name(self, executor: str) -> str:
        return executor or self._executors[0]

    def _ask(self, key: AskKey) -> Ask:
        executor, queue, text = key
        return Ask(self._name(executor), queue, from_text(text))


def _key(task: ReadyTask) -> AskKey:
    return task.executor, task.queue, task.resources or ""
