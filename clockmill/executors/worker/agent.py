"""The agent on a machine: it has a supervisor run what it claims, and says what became of it.

Its loop never waits for anybody: calls to where the work comes from are made by one thread, the fetching of code by
another. Whoever rings the doorbells is not its business.
"""

from __future__ import annotations

import logging
import math
import select
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from clockmill.errors import GatewayUnavailable, WorkerGone
from clockmill.executors.local import LocalExecutor
from clockmill.executors.worker.ahead import Ahead
from clockmill.executors.worker.desk import Desk
from clockmill.executors.worker.door import Door
from clockmill.executors.worker.leaving import Leaving, Phase, Remains
from clockmill.executors.worker.lock import WorkerLock
from clockmill.executors.worker.post import Post
from clockmill.executors.worker.setup import WorkerSetup
from clockmill.executors.worker.workshop import Workshop
from clockmill.host.bell import Bell
from clockmill.protocols.workers import Exchange, ExchangeAnswer
from clockmill.state import Outcome

log = logging.getLogger(__name__)

_LONGEST_WAIT = 5.0
#: Seconds between two letters, while there is enough at hand to go on without an answer.
_PAUSE = 0.03


class Worker:
    """One worker, from its coming to its going.

    :ivar door: where somebody may stand who hears doorbells for it.
    :raises Conflict: when one of that name runs on this home.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._clock = setup.clock
        self._lock = WorkerLock(setup.executor.run_folder, setup.name)
        self._executor = LocalExecutor(setup.executor)
        self._logs = setup.logs
        self._bell = Bell()
        self.door = Door()
        self._calls: deque[Callable[[], None]] = deque()
        self._desk = Desk()
        self._post = Post(setup, self._bell.ring)
        self._ahead = Ahead(setup.slots)
        self._shop = Workshop(setup, self._executor, self._ahead, self._desk, self._bell.ring)
        self._previous = list(self._lock.previous)
        self._leaving = Leaving(setup.farewell)
        self._granted = 0.0

    # --- what others ask of it, from any thread ----------------------------------------------------------------------

    def knock(self, attempt_id: str, token: str) -> Future[bool]:
        """Offer an attempt.

        :returns: whether it was claimed, once there was a slot for it; False when somebody else has it or it is over.
            Cancelled when it is for another worker: this one takes no work any more, or none for longer than a moment.
        """
        future: Future[bool] = Future()
        self._call(lambda: self._knocked(attempt_id, token, future))
        return future

    def nudge(self, attempt_ids: Iterable[str]) -> None:
        """Have it ask now what is to be done with these attempts, if it has one of them."""
        wanted = set(attempt_ids)
        self._call(lambda: self._nudged(wanted))

    def drain(self, grace: float | None = None) -> None:
        """Take no new work, end what runs, then leave.

        :param grace: seconds after which what still runs is stopped; None lets it run to its end.
        """
        self._call(lambda: self._drain(grace))

    def stop(self) -> None:
        """Stop what runs, then leave; called again, without the grace that tasks have after TERM."""
        self._call(self._stop)

    def run(self) -> None:
        """Work until it was drained or stopped.

        :raises UsageError: when it is refused where the work comes from.
        """
        try:
            self._executor.start(self._lock.epoch)
            self._logs.start()
            while self._leaving.phase is not Phase.OVER:
                self._turn()
        finally:
            self._close()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        while self._calls:
            self._calls.popleft()()
        self._post.deliver()
        self._shop.go_on(follows=self._follows)
        self._mind_the_door()
        self._write()
        self._go_on_leaving()
        self._wait()

    def _wait(self) -> None:
        timeout = self._due() - self._clock.monotonic()
        if self._calls or timeout <= 0 or self._leaving.phase is Phase.OVER:
            return
        poller = select.poll()
        for descriptor in (self._bell.fileno(), *self._executor.filenos()):
            poller.register(descriptor, select.POLLIN)
        poller.poll(math.ceil(timeout * 1000))
        self._bell.hush()

    def _due(self) -> float:
        now = self._clock.monotonic()
        again = self._executor.look_again_in()
        dues = [now + _LONGEST_WAIT, self._letter_due(), self._shop.due, self._leaving.due]
        if self._desk.has_knocks:
            dues.append(self._ahead.blocked_at)
        return min([*dues, now + again] if again is not None else dues)

    def _call(self, what: Callable[[], None]) -> None:
        self._calls.append(what)
        self._bell.ring()

    # --- orders ------------------------------------------------------------------------------------------------------

    def _knocked(self, attempt_id: str, token: str, future: Future[bool]) -> None:
        if self._leaving.has_begun:
            future.cancel()
        else:
            self._desk.knock(attempt_id, token, future)

    def _mind_the_door(self) -> None:
        """While each slot has a task that takes its time, doorbells are for others; and once this worker is to end."""
        is_open = not self._leaving.has_begun and self._clock.monotonic() < self._ahead.blocked_at
        self.door.open(is_open)
        if not is_open:
            self._desk.send_away()

    def _nudged(self, attempt_ids: set[str]) -> None:
        if attempt_ids & self._desk.running:
            self._post.hurry()

    def _drain(self, grace: float | None) -> None:
        if self._leaving.has_begun:
            return
        self._leaving.begin()
        self._desk.close()
        self._desk.give_back(self._shop.forget_unbegun(), Outcome.RELEASED, "Its worker is leaving.")
        if grace is None:
            self._executor.drain()
        else:
            self._executor.stop(grace)
        self._post.hurry()
        log.info("worker %s takes no new work, %d attempts run", self._post.worker_id, len(self._desk.running))

    def _stop(self) -> None:
        self._drain(0.0)
        self._executor.stop(0.0)
        self._leaving.hurry()

    # --- letters -----------------------------------------------------------------------------------------------------

    def _has_errand(self) -> bool:
        """Whether there is something to say before the next beat."""
        if self._desk.has_news:
            return True
        return not self._leaving.has_begun and (self._desk.has_knocks or self._desk.is_hungry) and self._shop.free > 0

    def _letter_due(self) -> float:
        if self._leaving.is_silent or self._post.has_left:
            return math.inf
        if not self._post.is_registered and not self._executor.is_settled:
            return math.inf
        if not self._post.is_registered or self._leaving.phase is Phase.LEAVING:
            return self._post.due(has_errand=True)
        return self._post.due(self._has_errand(), _PAUSE if self._shop.is_supplied else 0.0)

    def _write(self) -> None:
        if self._letter_due() > self._clock.monotonic():
            return
        if self._leaving.phase is Phase.LEAVING:
            self._post.leave()
            return
        if not self._post.is_registered:
            self._register()
            return
        is_draining = self._leaving.has_begun
        free = 0 if is_draining else self._shop.free
        said = self._desk.compose(
            self._post.next_beat(), free=free, ask=self._post.is_beat_due, is_draining=is_draining
        )
        self._post.exchange(said, lambda answer, error: self._answered(said, answer, error))

    def _register(self) -> None:
        # Of a registration that was tried before nobody knows whether it counted: what it took over is that one's.
        worker_id = self._post.worker_id or self._setup.new_id()
        held = [[ident, token] for ident, token in self._desk.held.items()]
        self._lock.note(worker_id)
        self._post.register(worker_id, self._previous, held, self._registered)

    @property
    def _follows(self) -> bool:
        """Whether what is found here was another worker's, from which it is still to be taken over."""
        return bool(self._previous) and not self._post.is_registered

    def _registered(self, error: Exception | None) -> None:
        if error is None:
            self._previous = []
            self._lock.note(self._post.worker_id, alone=True)
            self._logs.sweep()
            self._grant()
            log.info("worker %s began with %d attempts", self._post.worker_id, len(self._desk.held))
        elif not isinstance(error, GatewayUnavailable):
            raise error

    def _answered(self, said: Exchange, answer: ExchangeAnswer | None, error: Exception | None) -> None:
        if isinstance(error, WorkerGone):
            self._begin_anew()
        elif isinstance(error, GatewayUnavailable):
            return
        elif error is not None:
            log.error("a letter with %d reports was refused: %s", len(said.reports), error, exc_info=error)
            self._desk.refused(said, f"{type(error).__name__}: {error}")
        elif answer is not None:
            self._obey(said, answer)

    def _obey(self, said: Exchange, answer: ExchangeAnswer) -> None:
        self._grant()
        told = self._desk.take_in(said, answer)
        if told.taken:
            self._executor.acknowledge(told.taken)
        if told.unrung and len(said.held) < self._setup.slots:
            self.door.missed()
        if told.stop:
            self._shop.stop(told.stop)
        if self._leaving.has_begun:  # claimed by a letter of which the answer was lost
            self._desk.give_back([each.attempt_id for each in told.fresh], Outcome.RELEASED, "Its worker is leaving.")
        else:
            self._shop.begin(told.fresh)

    def _grant(self) -> None:
        """Let the supervisors go on; not with each letter, because each wakes them."""
        if self._post.lease_ends >= self._granted + self._setup.beat_seconds / 2:
            self._granted = self._post.lease_ends
            self._executor.grant(self._granted, self._setup.lease_seconds)

    def _begin_anew(self) -> None:
        """This worker was given up: others may have what it runs, so that ends now, and nobody wants to hear how."""
        log.warning("worker %s was given up: it stops what it runs and begins anew", self._post.worker_id)
        self._granted = 0.0
        self._executor.grant(0.0, 0.0)
        self._executor.acknowledge(self._desk.held)
        knocks, self._desk = self._desk, Desk()
        self._desk.inherit_knocks(knocks)
        self._shop.serve(self._desk)
        self._previous = []
        self._post.forget_id()

    # --- the end -----------------------------------------------------------------------------------------------------

    def _go_on_leaving(self) -> None:
        """Begin whatever phase of the end is due; nothing while this worker takes work."""
        while self._leaving.has_begun and (phase := self._leaving.step(self._clock.monotonic(), self._remains())):
            if phase is Phase.LEAVING:
                self._post.leave()
            elif phase is Phase.ENDING:
                self._executor.stop(0.0)

    def _remains(self) -> Remains:
        return Remains(
            runs=bool(self._desk.running),
            has_news=self._desk.has_news,
            is_writing=self._post.is_busy,
            is_registered=self._post.is_registered,
            has_left=self._post.has_left,
            has_supervisors=self._executor.is_busy(),
        )

    def _close(self) -> None:
        if self._post.has_left:
            self._lock.clear()
        self._desk.close()
        self._executor.detach()
        self._logs.leave(self._setup.farewell)
        self._shop.close()
        self._post.close()
        self._bell.close()
        self._lock.release()
