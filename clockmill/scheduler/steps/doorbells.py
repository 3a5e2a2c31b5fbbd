"""What is offered to workers, and for what the doorbells are rung.

A worker that has as many attempts as it can run will write before it can begin another: it reports the end of one, and
asks for more with that. So nobody is called while all workers of a queue are like that. Once one of them is not, the
bells are rung at last that were not.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from clockmill.executors.base import Offer
from clockmill.protocols import Workload
from clockmill.scheduler.workspace import Effects, Workspace
from clockmill.state.resources import to_text
from clockmill.storage.engine import Connection
from clockmill.storage.offers import (
    NewOffer,
    OpenOffer,
    QueueRoom,
    insert_offers,
    ring_again,
    ring_at_last,
    room_for_offers,
)
from clockmill.storage.records import AttemptRow

_AT_ONCE = 500
#: What is offered may well wait for so many seconds behind other offers.
_WAIT = 0.25


class Doorbells:
    """Offers attempts to workers."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._brokered = workspace.brokered
        self._ended: deque[tuple[float, Counter[tuple[str, str]]]] = deque()

    def ended(self, attempts: Iterable[AttemptRow]) -> None:
        """Note that these attempts ended just now."""
        ended = Counter((row.executor, row.queue) for row in attempts if row.executor in self._brokered)
        if ended:
            self._ended.append((self._space.clock.monotonic(), ended))

    def room(self, connection: Connection) -> dict[str, QueueRoom]:
        """What may be offered to the workers of each executor that takes new work."""
        offering = [name for name, executor in self._brokered.items() if executor.takes_work]
        return room_for_offers(connection, offering, self._lately()) if offering else {}

    def offer(self, connection: Connection, room: dict[str, QueueRoom], effects: Effects, now: datetime) -> None:
        """Write down what this transaction offers, and what is to be rung for after it.

        :param room: as it was when the transaction began to offer.
        """
        silent = {(name, queue) for name, each in room.items() for queue in each.saturated}
        # A worker that told of an end, and was given nothing for it, asks again seconds later, with its next beat.
        # While another scheduler has that end in a transaction, the worker is full as seen from here, and what is
        # offered here is not seen from there: neither would ring. A bell too many costs a message, and a worker that
        # is full gives it back.
        if self._space.has_peers:
            silent.clear()
        rung = [(name, workload.queue) not in silent for name, workload in effects.offers]
        insert_offers(connection, list(map(self._new, effects.offers, rung)), now)
        for (name, workload), is_rung in zip(effects.offers, rung, strict=True):
            if is_rung:
                effects.bells.setdefault(name, []).append(_bell(workload))
        for each in ring_at_last(connection, room.keys(), silent, _AT_ONCE) if room else ():
            effects.bells.setdefault(each.executor, []).append(_bell(each))

    def ring_again(self) -> None:
        """Ring for the attempts that nobody has claimed for long enough."""
        if not self._brokered:
            return
        now = self._space.clock.now()
        due = self._space.database.write(lambda connection: ring_again(connection, now, _AT_ONCE))
        for name in {each.executor for each in due} & self._brokered.keys():
            self._brokered[name].offer([_bell(each) for each in due if each.executor == name])

    def _lately(self) -> Counter[tuple[str, str]]:
        since = self._space.clock.monotonic() - _WAIT
        while self._ended and self._ended[0][0] < since:
            self._ended.popleft()
        return sum((ended for _, ended in self._ended), Counter())

    def _new(self, offer: tuple[str, Workload], is_rung: bool) -> NewOffer:
        """What is offered holds no path of this host: workers have their own."""
        executor, workload = offer
        log_path = Path(workload.log_path).relative_to(self._space.settings.logs_folder)
        return NewOffer(
            attempt_id=workload.attempt_id,
            executor=executor,
            queue=workload.queue,
            priority=workload.priority,
            resources=to_text(workload.resources),
            workload=workload.to_json() | {"bundle_path": "", "log_path": str(log_path)},
            is_rung=is_rung,
        )


def _bell(of: Workload | OpenOffer) -> Offer:
    return Offer(attempt_id=of.attempt_id, token=of.token, queue=of.queue, priority=of.priority)
