"""One connection to the broker: a Celery worker that ends with it, and is never mended.

What Celery does to go on over a connection that broke leaves it deaf at times, with a loop that goes round and no
consumer. So each connection has a worker of its own, made anew, and everything that goes wrong with it ends it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from celery import bootsteps
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu import Consumer, Queue
from kombu.asynchronous import set_event_loop

from clockmill.executors.celery.app import bell_queue, make_app, nudge_exchange
from clockmill.executors.celery.doorbell import BrokerOptions
from clockmill.host.bell import Bell

log = logging.getLogger(__name__)

#: Seconds that the remains of a broken connection may take for each thing that they want to say.
_FAREWELL = 0.1

#: What the client for Redis raises over something in a queue that no Celery has put there; it is out of the queue then.
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)

#: Hears a message, and returns what to wait for before it is acknowledged; None for at once.
OnBell = Callable[[Any], "Future[bool] | None"]


class Renewal(Exception):
    """Somebody asked for another connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Who listens to what.

    :param options: where the doorbells of these queues are to be heard.
    :param name: of the worker, for people who look at the broker.
    :param slots: so many doorbells are taken from the broker at a time.
    """

    options: BrokerOptions
    queues: Sequence[str]
    name: str
    slots: int

    def turned(self, times: int) -> Listening:
        """The same with another of several brokers first; see :meth:`BrokerOptions.turned`."""
        return replace(self, options=self.options.turned(times))


class Ear:
    """Listens to the queues of a worker by one connection.

    :param on_bell: called with each doorbell.
    :param on_ready: called when it listens.
    :param on_nudge: called with what is sent to all workers at once.
    :param on_rubbish: called with what is wrong with something that is no message at all.
    :param is_welcome: whether doorbells are to be taken now; :meth:`look` tells that it has changed.
    """

    def __init__(
        self,
        listening: Listening,
        *,
        on_bell: OnBell,
        on_nudge: Callable[[Any], None],
        on_rubbish: Callable[[Exception], None],
        on_ready: Callable[[], None],
        is_welcome: Callable[[], bool],
    ) -> None:
        self._listening = listening
        self._options = listening.options
        self._on_bell = on_bell
        self._on_nudge = on_nudge
        self._on_rubbish = on_rubbish
        self._on_ready = on_ready
        self._is_welcome = is_welcome
        self._is_consuming = True
        self._consumer: Any = None
        self._bell = Bell()
        self._answered: deque[tuple[Any, bool]] = deque()
        self._end: BaseException | None = None
        self._error: Exception | None = None

    def listen(self) -> Exception | None:
        """Connect, and listen until the connection ends; returns why, or None when :meth:`stop` was called."""
        set_event_loop(None)
        try:
            controller = WorkController(
                app=self._app(),
                hostname=f"{self._listening.name}@{os.uname().nodename}",
                concurrency=self._listening.slots,
                pool_cls="solo",
                consumer_cls=_consumer_class(self),
                queues=[self._options.queue(name) for name in self._listening.queues],
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
            )
            controller.start()
        except Exception as error:  # noqa: BLE001 - brokers and their clients fail in many ways
            self._error = self._error or error
        finally:
            self._bell.close()
        if self._error is None and self._end is None:
            return RuntimeError("Celery has ended it")
        return self._error

    def stop(self) -> None:
        """End, from any thread: what was not acknowledged goes back to the broker."""
        self._finish(WorkerShutdown(0))

    def renew(self, reason: str) -> None:
        """End, from any thread, because there is no trust in this connection."""
        self._finish(Renewal(reason))

    def _finish(self, end: BaseException) -> None:
        self._end = end
        self.look()

    def look(self) -> None:
        """Have the loop look, from any thread, at what is asked of it."""
        self._bell.ring()

    def _app(self) -> Any:
        app = make_app(self._options)
        app.conf.task_queues = [bell_queue(self._options, name) for name in self._listening.queues]
        app.conf.task_default_queue = self._options.queue(self._listening.queues[0])
        app.steps["consumer"].add(_make_step(self))
        return app

    # --- inside Celery's loop; whatever is raised here ends the connection -------------------------------------------

    def hear(self, message: Any) -> None:
        """A message has come."""
        future = self._on_bell(message)
        if future is None:
            message.ack()
        else:
            future.add_done_callback(lambda future: self._knocked(message, future))

    def drop(self, message: Any, error: Exception) -> None:
        """A message has come that its client could not take apart."""
        self._on_rubbish(error)
        message.ack()

    def _knocked(self, message: Any, future: Future[bool]) -> None:
        """The agent has answered, in a thread of its own; a doorbell that it sent away is for another worker."""
        self._answered.append((message, future.cancelled()))
        self.look()

    def wake(self) -> None:
        """Tell the broker of the doorbells that were answered, and end when it is time.

        A doorbell that cannot be acknowledged would be held against this connection for good.
        """
        self._bell.hush()
        self._turn_to(self._is_welcome())  # before doorbells go back, which would come here again
        while self._answered:
            message, is_sent_away = self._answered.popleft()
            if is_sent_away:
                message.requeue()
            else:
                message.ack()
        if self._end is not None:
            raise self._end

    def _turn_to(self, is_consuming: bool) -> None:
        if is_consuming is self._is_consuming:
            return
        self._is_consuming = is_consuming
        if is_consuming:
            self._consumer.task_consumer.consume()
        else:
            self._consumer.task_consumer.cancel()

    def ready(self, consumer: Any, hub: Any) -> None:
        """Have the loop of Celery wake up when something was answered."""
        self._consumer = consumer
        hub.add_reader(self._bell.fileno(), self.wake)
        self.look()
        self._on_ready()

    def nudges(self, channel: Any) -> Consumer:
        """Hears what is to be stopped."""
        queue = Queue(exchange=nudge_exchange(self._options), exclusive=True, auto_delete=True, durable=False)
        told = {"on_message": self._on_nudge, "on_decode_error": lambda message, error: self._on_rubbish(error)}
        return Consumer(channel, queues=[queue], no_ack=True, **told)

    def guard(self, connection: Any) -> Any:
        """Have rubbish cost no connection and no memory; whatever is read from a queue of Redis is out of it."""
        create = connection.transport.create_channel

        def create_channel(*arguments: Any) -> Any:
            channel = create(*arguments)
            channel.Message = _packed_as_it_came(channel.Message)
            return channel

        connection.transport.create_channel = create_channel
        if self._options.is_redis:
            read = connection.transport.on_readable

            def on_readable(*arguments: Any) -> None:
                try:
                    read(*arguments)
                except _UNREADABLE as error:
                    self._on_rubbish(error)

            connection.transport.on_readable = on_readable
        return connection

    def broke(self, connection: Any, error: Exception) -> None:
        """The connection is of no use any more: nothing is said by it, as nobody may be there to answer."""
        self._error = error
        if connection is not None:
            with contextlib.suppress(Exception):  # it is broken already
                _abandon(connection)


def _packed_as_it_came(kind: type[Any]) -> type[Any]:
    """A kind of message that refuses to be unpacked: ours are small, and what others have packed may be huge."""

    def __init__(self: Any, raw: Any, *arguments: Any, **fields: Any) -> None:
        headers = raw.get("headers") if isinstance(raw, dict) else raw.properties.get("application_headers")
        is_packed = headers is not None and headers.pop("compression", None) is not None
        kind.__init__(self, raw, *arguments, **fields)
        if is_packed:
            self.errors.append((ValueError, ValueError("it is compressed"), None))

    return type("PlainMessage", (kind,), {"__init__": __init__})


def _abandon(connection: Any) -> None:
    """Close a connection without a word: what it holds goes back when the broker finds that it is gone."""
    for channel in list(getattr(connection.transport, "channels", None) or ()):
        channel.qos.restore_at_shutdown = False
        channel.qos.restore_unacked_once()  # which restores nothing now, and is not kept for the end of the process
        channel._in_poll = None  # otherwise an answer is waited for that may never come
        channel.closed = True
        channel._disconnect_pools()
    connection.collect(_FAREWELL)


def _consumer_class(ear: Ear) -> type[Any]:
    """Celery's consumer for one connection. All messages are handed on as they are, so no task is known to it."""

    def start(self: Any) -> None:
        try:
            self.blueprint.start(self)
        except Exception as error:
            ear.broke(self.connection, error)
            raise WorkerShutdown(0) from error

    def ensure_connected(self: Any, connection: Any) -> Any:
        return ear.guard(CeleryConsumer.ensure_connected(self, connection))

    def create_task_handler(self: Any) -> Callable[[Any], None]:
        return ear.hear

    def on_decode_error(self: Any, message: Any, error: Exception) -> None:
        ear.drop(message, error)

    members = {
        "start": start,
        "ensure_connected": ensure_connected,
        "create_task_handler": create_task_handler,
        "on_decode_error": on_decode_error,
    }
    return type("EarConsumer", (CeleryConsumer,), members)


def _make_step(ear: Ear) -> type[Any]:
    """What is started and stopped with the connection to the broker."""

    def get_consumers(self: Any, channel: Any) -> list[Consumer]:
        return [ear.nudges(channel)]

    def register_with_event_loop(self: Any, consumer: Any, hub: Any) -> None:
        ear.ready(consumer, hub)

    members = {"get_consumers": get_consumers, "register_with_event_loop": register_with_event_loop}
    return type("DoorbellStep", (bootsteps.ConsumerStep,), members)
