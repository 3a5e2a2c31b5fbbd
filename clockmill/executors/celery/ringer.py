"""Sends doorbells, in a thread of its own: a broker that is away or slow costs the scheduler nothing."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from kombu import Connection, Producer

from clockmill.clock import Clock, backoff
from clockmill.executors.base import Offer
from clockmill.executors.celery.app import PATIENCE, bell_queue, make_app, nudge_exchange
from clockmill.executors.celery.doorbell import TASK, BrokerOptions, sign

log = logging.getLogger(__name__)

#: So many wait to be sent, at most; the oldest are dropped first.
_MOST = 10_000
#: Seconds after which a doorbell is not worth sending any more: it will be rung again.
_STALE = 10.0
#: So many attempts are named in a message, at most.
_NUDGED_AT_ONCE = 200
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0

#: A doorbell, or the attempts of a nudge; with the moment after which it is dropped.
_Item = tuple[float, Offer | list[str]]


class Ringer:
    """Sends what it is given, in order, and drops what cannot be sent in time."""

    def __init__(self, options: BrokerOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._waiting: deque[_Item] = deque(maxlen=_MOST)
        self._news = threading.Condition()
        self._is_closed = False
        self._failures = 0
        self._app: Any = None
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._thread = threading.Thread(target=self._work, name=f"{options.executor}-ringer", daemon=True)
        self._thread.start()

    def ring(self, offers: Sequence[Offer]) -> None:
        """Ring for these attempts."""
        self._put(list(offers))

    def nudge(self, attempt_ids: Iterable[str]) -> None:
        """Have whoever has one of these attempts ask what to do."""
        idents = sorted(attempt_ids)
        self._put([idents[first : first + _NUDGED_AT_ONCE] for first in range(0, len(idents), _NUDGED_AT_ONCE)])

    def close(self) -> None:
        """Send nothing more; the thread ends when its present call does."""
        with self._news:
            self._is_closed = True
            self._news.notify()

    def _put(self, what: Sequence[Offer | list[str]]) -> None:
        until = self._clock.monotonic() + _STALE
        with self._news:
            self._waiting.extend((until, each) for each in what)
            self._news.notify()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            until, what = item
            self._send(what, until)
        self._disconnect()

    def _send(self, what: Offer | list[str], until: float) -> None:
        """Send one thing, or drop it: when it is too late, or when the broker that is there does not take it."""
        refusals = 0
        while not self._is_closed and self._clock.monotonic() < until:
            if not self._connect():
                self._pause()
            elif self._try(what) or (refusals := refusals + 1) == 2:  # the first may be a connection that was cut
                return

    def _next(self) -> _Item | None:
        with self._news:
            while not self._waiting and not self._is_closed:
                self._news.wait()
            return None if self._is_closed else self._waiting.popleft()

    def _pause(self) -> None:
        with self._news:
            if not self._is_closed:
                # A doorbell that comes meanwhile has to wait as well.
                pause = backoff(self._failures, _FIRST_PAUSE, _LONGEST_PAUSE)
                self._news.wait_for(lambda: self._is_closed, pause)

    def _connect(self) -> bool:
        """Whether there is a connection; an old one may be broken."""
        if self._producer is not None:
            return True
        try:
            if self._app is None:
                self._app = make_app(self._options)
                self._app.conf.task_queues = []
            self._connection = self._app.connection_for_write(self._options.turned(self._failures).url)
            self._connection.connect()
            self._producer = self._app.amqp.Producer(self._connection.channel(), auto_declare=False)
        except Exception as error:  # noqa: BLE001 - brokers and their clients fail in many ways
            if not self._failures:
                log.warning("the broker of %s cannot be reached, trying again: %s", self._options.executor, error)
            self._failures += 1
            self._disconnect()
            return False
        if self._failures:
            log.warning("the broker of %s is there again", self._options.executor)
            self._failures = 0
        return True

    def _try(self, what: Offer | list[str]) -> bool:
        """Send it by the connection that there is; False when that failed, whatever the reason."""
        try:
            if isinstance(what, Offer):
                self._send_bell(what)
            else:
                self._send_nudge(what)
        except Exception as error:  # noqa: BLE001 - it is a doorbell only, and is rung again
            log.info("the broker of %s did not take a message: %s", self._options.executor, error)
            self._disconnect()
            return False
        return True

    def _send_bell(self, bell: Offer) -> None:
        """Send a doorbell, and have the broker say that it has put it into the queue.

        It need not outlive the broker, which would take ten times as long.
        """
        self._app.send_task(
            TASK,
            kwargs=sign(self._options.key, bell.attempt_id, bell.token),
            task_id=bell.attempt_id,
            queue=self._queue(bell.queue),
            priority=self._options.priority(bell.priority),
            producer=self._producer,
            delivery_mode="transient",
            mandatory=True,
            confirm_timeout=PATIENCE,
            retry=False,
            ignore_result=True,
            argsrepr="",
            kwargsrepr="",
        )

    def _send_nudge(self, attempt_ids: list[str]) -> None:
        assert self._producer is not None
        exchange = nudge_exchange(self._options)
        told = {"attempt_ids": attempt_ids}
        self._producer.publish(told, exchange=exchange, declare=[exchange], serializer="json", confirm_timeout=PATIENCE)

    def _queue(self, name: str) -> Any:
        queues = self._app.amqp.queues
        key = self._options.queue(name)
        return queues[key] if key in queues else queues.add(bell_queue(self._options, name))

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is broken already
                connection.close()
