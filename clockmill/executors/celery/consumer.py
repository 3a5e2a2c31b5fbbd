"""A Celery worker without tasks of its own: each doorbell that it is brought is handed to the agent on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from celery import Task, bootsteps
from celery.worker import WorkController
from celery.worker import state as celery_state
from kombu import Consumer, Queue
from kombu.asynchronous import set_event_loop

from clockmill.clock import Clock
from clockmill.executors.celery.app import bell_queue, make_app, nudge_exchange
from clockmill.executors.celery.doorbell import TASK, BrokerOptions, is_genuine

log = logging.getLogger(__name__)
_CELERY_LOGS = (logging.getLogger("celery.worker.consumer.consumer"), logging.getLogger("celery.worker"))

#: Seconds between two complaints about messages that nobody with our key has sent.
_COMPLAINT_SECONDS = 60.0
#: Seconds between two times that Celery is started, when it gave up.
_PAUSE = 5.0
#: Celery lets these win over what it is told.
_OVERRIDES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_CONFIG_MODULE")

Knock = Callable[[str, str], "Future[bool]"]


class Doorman:
    """Listens to the queues of a worker, and acknowledges a doorbell once its attempt is claimed or gone.

    There is one in a process: Celery keeps some of its state for all of it.

    :param name: of the worker, for people who look at the broker.
    :param slots: so many doorbells are taken from the broker at a time.
    :param knock: offers an attempt, as :meth:`~clockmill.executors.worker.Worker.knock` does.
    :param nudge: called with attempts that are to be stopped somewhere.
    """

    def __init__(
        self,
        options: BrokerOptions,
        queues: Sequence[str],
        *,
        name: str,
        slots: int,
        knock: Knock,
        nudge: Callable[[Iterable[str]], None],
        clock: Clock,
    ) -> None:
        self._options = options
        self._queues = queues
        self._name = name
        self._slots = slots
        self._knock = knock
        self._nudge = nudge
        self._clock = clock
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._answered: deque[Any] = deque()
        self._complain_at = 0.0
        self._is_away = False
        self._is_stopping = threading.Event()
        self._ended = threading.Event()

    def run(self) -> None:
        """Listen until :meth:`stop`; outages of the broker are waited out."""
        for variable in _OVERRIDES:
            os.environ.pop(variable, None)
        for each in _CELERY_LOGS:
            each.addFilter(self._overhear)
        try:
            celery_state.should_stop = None
            while not self._is_stopping.is_set():
                self._listen()
                self._is_stopping.wait(_PAUSE)  # whatever Celery gave up for may pass
        finally:
            for each in _CELERY_LOGS:
                each.removeFilter(self._overhear)
            self._ended.set()

    def stop(self, patience: float) -> None:
        """Listen no more: what was not acknowledged goes back to the broker.

        :param patience: seconds to wait for that; a broker that does not answer must not hold up the end.
        """
        self._is_stopping.set()
        celery_state.should_stop = 0
        self._ring()
        self._ended.wait(patience)

    # --- inside Celery's loop ----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        set_event_loop(None)
        controller = WorkController(
            app=self._app(),
            hostname=f"{self._name}@{os.uname().nodename}",
            concurrency=self._slots,
            pool_cls="solo",
            queues=[self._options.queue(name) for name in self._queues],
            without_gossip=True,
            without_mingle=True,
        )
        controller.start()

    def _app(self) -> Any:
        app = make_app(self._options)
        app.conf.task_queues = [bell_queue(self._options, name) for name in self._queues]
        app.conf.task_default_queue = self._options.queue(self._queues[0])
        app.register_task(_make_task(self._on_bell))
        app.steps["consumer"].add(_make_step(self))
        return app

    def _on_bell(self, message: Any) -> None:
        """A doorbell has come."""
        try:
            _, told, _ = message.payload
        except Exception as error:  # noqa: BLE001 - whatever is wrong with what anybody may have sent
            self._complain(f"a message that cannot be read: {error}")
            message.ack()
            return
        if not is_genuine(self._options.key, told):
            self._complain("a message without a signature that fits: every machine needs the same [workers] secret")
            message.ack()
            return
        future = self._knock(told["attempt_id"], told["token"])
        future.add_done_callback(lambda future: self._knocked(message, future))

    def _knocked(self, message: Any, future: Future[bool]) -> None:
        """The agent has answered, in a thread of its own; a doorbell that it sent away stays with the broker."""
        if not future.cancelled():
            self._answered.append(message)
            self._ring()

    def acknowledge(self) -> None:
        """Tell the broker of the doorbells that were answered."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        while self._answered:
            message = self._answered.popleft()
            try:
                message.ack()
            except Exception as error:  # noqa: BLE001 - its connection is gone, and the broker will ring again
                log.debug("a doorbell could not be acknowledged: %s", error)

    def _overhear(self, record: logging.LogRecord) -> bool:
        """Say once what Celery would say again and again while the broker is away."""
        if record.levelno < logging.WARNING:
            return True
        if not self._is_away:
            self._is_away = True
            reason = record.getMessage().partition("\n")[0].removeprefix("consumer: ")
            log.warning("no broker, trying again; meanwhile free slots ask for work by themselves: %s", reason)
        return False

    def _listens(self) -> None:
        log.log(logging.WARNING if self._is_away else logging.INFO, "listens to the queues %s", ", ".join(self._queues))
        self._is_away = False

    def watch(self, hub: Any) -> None:
        """Have the loop of Celery wake up when something was answered."""
        hub.remove_reader(self._bell)
        hub.add_reader(self._bell, self.acknowledge)
        self._listens()

    def nudges(self, channel: Any) -> Consumer:
        """Hears what is to be stopped."""
        queue = Queue(exchange=nudge_exchange(self._options), exclusive=True, auto_delete=True, durable=False)
        return Consumer(channel, queues=[queue], callbacks=[self._on_nudge], no_ack=True, accept=["json"])

    def _on_nudge(self, body: Any, message: Any) -> None:
        attempts = body.get("attempt_ids") if isinstance(body, dict) else None
        if isinstance(attempts, list):
            self._nudge([each for each in attempts if isinstance(each, str)])

    def _ring(self) -> None:
        os.eventfd_write(self._bell, 1)

    def _complain(self, what: str) -> None:
        now = self._clock.monotonic()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAINT_SECONDS
            log.warning("dropped %s", what)


def _make_task(on_bell: Callable[[Any], None]) -> Task:
    """The task that Celery knows; its strategy hands the message on, so that no pool is needed."""

    def strategy(task: Task, app: Any, consumer: Any) -> Callable[..., None]:
        return lambda message, *_: on_bell(message)

    members = {"name": TASK, "Strategy": staticmethod(strategy), "ignore_result": True, "run": lambda self, **_: None}
    return type("Doorbell", (Task,), members)()


def _make_step(doorman: Doorman) -> type[Any]:
    """What is started and stopped with each connection to the broker."""

    def get_consumers(self: Any, channel: Any) -> list[Consumer]:
        return [doorman.nudges(channel)]

    def register_with_event_loop(self: Any, consumer: Any, hub: Any) -> None:
        doorman.watch(hub)

    members = {"get_consumers": get_consumers, "register_with_event_loop": register_with_event_loop}
    return type("DoorbellStep", (bootsteps.ConsumerStep,), members)
