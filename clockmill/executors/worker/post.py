"""The correspondence of a worker: one call at a time, tried again later and later while nobody can be asked."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

from clockmill.clock import backoff
from clockmill.errors import GatewayUnavailable
from clockmill.executors.worker.background import BackgroundCalls
from clockmill.executors.worker.setup import WorkerSetup
from clockmill.protocols.workers import Exchange, ExchangeAnswer, WorkerGateway

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
#: A process that was killed is gone only a moment later: the lease of the supervisors is shorter by this, at most.
_MARGIN = 2.0


class Post:
    """Calls the gateway, and remembers when it was last heard of.

    :param ring: wakes the loop, which then calls :meth:`deliver`.
    :ivar worker_id: who writes; empty before the first registration is under way.
    :ivar is_registered: whether the id is known where the work comes from.
    :ivar has_left: whether goodbye was heard.
    :ivar lease_ends: when nothing may run any more unless another letter is answered, in seconds since boot.
    """

    def __init__(self, setup: WorkerSetup, ring: Callable[[], None]) -> None:
        self._setup = setup
        self._clock = setup.clock
        self._calls = BackgroundCalls("letters", ring)
        self._gateway: WorkerGateway | None = None
        self._beat = 0
        self._sent_at = self._beat_at = 0.0
        self._retry_at = 0.0
        self._failures = 0
        self.worker_id = ""
        self.is_registered = False
        self.has_left = False
        self.lease_ends = 0.0

    # --- when to write -----------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a letter is under way."""
        return self._calls.is_busy

    @property
    def is_beat_due(self) -> bool:
        """Whether it is time to say something, were it nothing."""
        return self._clock.monotonic() >= self._beat_at

    def hurry(self) -> None:
        """Write soon, whatever there is to say."""
        self._beat_at = 0.0

    def due(self, has_errand: bool, pause: float = 0.0) -> float:
        """When the next letter is to be written, in monotonic seconds; ``inf`` while one is under way.

        :param pause: seconds since the last one, at least.
        """
        if self.is_busy:
            return math.inf
        return max(self._retry_at, self._sent_at + pause, 0.0 if has_errand else self._beat_at)

    def next_beat(self) -> int:
        """The number of the next letter."""
        self._beat += 1
        return self._beat

    # --- letters -----------------------------------------------------------------------------------------------------

    def register(
        self,
        worker_id: str,
        follows: Sequence[str],
        held: list[list[str]],
        done: Callable[[Exception | None], None],
    ) -> None:
        """Introduce the worker; doing it again under the same id changes nothing.

        :param follows: the ids of those that were here before and have not said goodbye.
        """
        self.worker_id, self._beat = worker_id, 0
        info = self._setup.introduce(worker_id, os.getpid())

        def work(gateway: WorkerGateway) -> None:
            before: Sequence[str | None] = follows or [None]
            for each in before:
                gateway.register(info, follows=each, held=held)

        def finish(_: object, error: Exception | None) -> None:
            self.is_registered = error is None
            done(error)

        self._send(work, finish)

    def exchange(self, said: Exchange, done: Callable[[ExchangeAnswer | None, Exception | None], None]) -> None:
        """Send a letter."""
        self._sent_at = self._clock.monotonic()
        self._beat_at = self._sent_at + self._setup.beat_seconds
        self._send(lambda gateway: gateway.exchange(self.worker_id, said), done)

    def leave(self) -> None:
        """Say goodbye; nothing else may be said after that."""

        def finish(_: object, error: Exception | None) -> None:
            self.has_left = error is None

        self._send(lambda gateway: gateway.leave(self.worker_id), finish)

    def forget_id(self) -> None:
        """The worker was given up: what comes next is another one."""
        self.is_registered, self.worker_id = False, ""

    def deliver(self) -> None:
        """Tell what was answered."""
        self._calls.deliver()

    def close(self) -> None:
        """Let go of the gateway, unless a call of it hangs."""
        if self._gateway is not None and not self.is_busy:
            self._gateway.close()
        self._calls.close()

    def _send(self, work: Callable[[WorkerGateway], Any], done: Callable[[Any, Exception | None], None]) -> None:
        sent_at = math.inf

        def call() -> Any:
            nonlocal sent_at
            if self._gateway is None:
                self._gateway = self._setup.connect()
            sent_at = self._clock.since_boot()
            return work(self._gateway)

        def finish(result: Any, error: Exception | None) -> None:
            if error is None:
                margin = min(_MARGIN, self._setup.lease_seconds / 10)
                self.lease_ends = sent_at + self._setup.lease_seconds - margin
            self._note(error)
            done(result, error)

        self._calls.run(call, finish)

    def _note(self, error: Exception | None) -> None:
        if error is None:
            if self._failures:
                log.warning("worker %s is answered again", self.worker_id)
            self._failures, self._retry_at = 0, 0.0
            return
        if isinstance(error, GatewayUnavailable) and not self._failures:
            log.warning("worker %s cannot reach where its work comes from, trying again: %s", self.worker_id, error)
        self._retry_at = self._clock.monotonic() + backoff(self._failures, _FIRST_PAUSE, _LONGEST_PAUSE)
        self._failures += 1
