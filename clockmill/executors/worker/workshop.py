"""Where the attempts of a worker begin and run: each waits for its code, then for a slot, then for its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from clockmill.executors.base import Finished, Started, SupervisorDown, SupervisorUp
from clockmill.executors.local import LocalExecutor
from clockmill.executors.worker.ahead import Ahead
from clockmill.executors.worker.background import BackgroundCalls
from clockmill.executors.worker.bundles import BundleFetcher
from clockmill.executors.worker.desk import Desk
from clockmill.executors.worker.line import Line
from clockmill.executors.worker.setup import WorkerSetup
from clockmill.protocols import AttemptReport, Workload
from clockmill.state import Outcome

log = logging.getLogger(__name__)


class Workshop:
    """Has attempts begin in an executor, and tells a desk what becomes of them.

    :param desk: the books of the worker, as it is known now.
    :param ring: wakes the loop, which then calls :meth:`go_on`.
    """

    def __init__(
        self, setup: WorkerSetup, executor: LocalExecutor, ahead: Ahead, desk: Desk, ring: Callable[[], None]
    ) -> None:
        self._clock = setup.clock
        self._slots = setup.slots
        self._logs = setup.logs
        self._executor = executor
        self._ahead = ahead
        self._desk = desk
        self._bundles = BundleFetcher(setup, BackgroundCalls("bundles", ring))
        self._line = Line()
        self._places: dict[str, str] = {}  # attempt -> its supervisor

    def go_on(self, *, follows: bool) -> None:
        """Take in what has happened, and begin what can begin.

        :param follows: whether what is found here was another worker's, from which it is still to be taken over.
        """
        self._bundles.deliver()
        self._hear(follows)
        self._start_fetched()
        self._give_back_late()

    @property
    def due(self) -> float:
        """When to go on though nothing has happened, in monotonic seconds."""
        return min(self._bundles.due, self._late_at)

    @property
    def is_supplied(self) -> bool:
        """Whether more waits for a slot than can begin at once."""
        return len(self._line) > self._slots

    @property
    def free(self) -> int:
        """How many attempts could begin now or soon: slots that nothing here needs, and what short tasks allow."""
        supervised = self._executor.controlled()
        if not supervised or self._bundles.is_stuck:
            return 0
        here = self._desk.running.union(*supervised.values())
        return max(0, self._slots - len(here) + self._ahead.allowed(self._clock.monotonic()))

    # --- what others ask of it ---------------------------------------------------------------------------------------

    def begin(self, workloads: Iterable[Workload]) -> None:
        """Have attempts run, as soon as they can."""
        self._bundles.fetch(workloads)

    def stop(self, attempt_ids: Iterable[str]) -> None:
        """End these, or do not let them begin."""
        wanted = set(attempt_ids)
        never = self._bundles.forget(wanted) + self._line.drop(wanted)
        self._logs.end(never)
        self._desk.give_back(never, Outcome.STOPPED, "stopped before it began")
        self._executor.stop_attempts(wanted.difference(never), "stopped by a person")

    def forget_unbegun(self) -> list[str]:
        """Let nothing begin any more of what waits; returns what that was."""
        unbegun = self._bundles.forget_all() + self._line.drop_all()
        self._logs.end(unbegun)
        return unbegun

    def serve(self, desk: Desk) -> None:
        """Tell another desk from now on, which knows nothing of what has not begun."""
        self.forget_unbegun()
        self._desk = desk

    def close(self) -> None:
        """Begin nothing more."""
        self._bundles.close()

    # --- what the executor says --------------------------------------------------------------------------------------

    def _hear(self, follows: bool) -> None:
        for event in self._executor.events():
            match event:
                case SupervisorUp():
                    self._found(event, follows)
                case Started():
                    self._desk.started(event)
                case Finished(report):
                    self._ended(report, follows)
                case SupervisorDown():
                    self._lost(event)

    def _found(self, event: SupervisorUp, follows: bool) -> None:
        """A supervisor is there; what it has from a worker before this one becomes ours, if there is a token for it."""
        unknown = event.holds - self._desk.held.keys()
        if follows:
            self._desk.adopt((ident, event.tokens[ident]) for ident in sorted(unknown & event.tokens.keys()))
            unknown -= event.tokens.keys()
        self._places.update(dict.fromkeys(event.holds, event.supervisor.id))
        self._ahead.found(event.holds)
        self._logs.hold(event.holds)
        self._executor.stop_attempts(unknown, "It belongs to no worker.")

    def _ended(self, report: AttemptReport, follows: bool) -> None:
        self._places.pop(report.attempt_id, None)
        self._ahead.over(report.attempt_id, self._clock.monotonic())
        self._logs.end([report.attempt_id])
        if follows:  # a dead supervisor of the worker before this one left it
            self._desk.adopt([(report.attempt_id, report.token)])
        if not self._desk.ended(report):
            self._executor.acknowledge([report.attempt_id])

    def _lost(self, event: SupervisorDown) -> None:
        ours = [ident for ident, place in self._places.items() if place == event.supervisor_id]
        for ident in ours:
            del self._places[ident]
            self._ahead.lost(ident)
        self._logs.end(ours)
        running = self._desk.running.intersection(ours)
        if running:
            log.warning("supervisor %s is gone with %d attempts: %s", event.supervisor_id, len(running), event.reason)
        reason = f"The supervisor that ran it is gone. {event.reason}".strip()
        self._desk.give_back(sorted(running), Outcome.LOST, reason)

    # --- starting attempts -------------------------------------------------------------------------------------------

    def _start_fetched(self) -> None:
        fetched, now = self._bundles.take(), self._clock.monotonic()
        self._line.join(fetched, now)
        for ident, outcome, reason in self._bundles.take_failed():
            self._desk.give_back([ident], outcome, reason)
        supervisor_id, free = next(iter(self._executor.free_slots().items()), ("", 0))
        if first := self._line.take(free):
            idents = [workload.attempt_id for workload in first]
            self._places.update(dict.fromkeys(idents, supervisor_id))
            self._ahead.begun(idents, now)
            self._executor.submit(supervisor_id, first)

    def _give_back_late(self) -> None:
        """Let others have what was claimed ahead and cannot begin soon."""
        may_come = self._places and not self._executor.is_settled
        if self._late_at <= self._clock.monotonic() and not may_come:
            self._ahead.stuck()
            self._desk.give_back(self._line.drop_all(), Outcome.RELEASED, "Its worker has no slot for it soon.")

    @property
    def _late_at(self) -> float:
        return self._line.late_at(is_alone=not self._places)
