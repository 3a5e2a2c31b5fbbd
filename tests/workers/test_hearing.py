"""Hearing doorbells by real brokers, whatever becomes of the connection and whatever else is in the queue."""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from celery.worker import state as celery_state
from kombu import Connection, compression

from clockmill.clock import Clock, SystemClock
from clockmill.executors.base import Offer
from clockmill.executors.celery.app import nudge_exchange
from clockmill.executors.celery.consumer import Doorman
from clockmill.executors.celery.doorbell import BrokerOptions, sign
from clockmill.executors.celery.ear import Listening
from clockmill.executors.celery.ringer import Ringer
from clockmill.executors.celery.watch import FIRST_SILENCE, LONGEST_SILENCE, Watch
from clockmill.testing import FakeClock
from clockmill.testing.servers import RabbitServer, RedisServer
from tests.workers.proxy import Proxy

Broker = RedisServer | RabbitServer
PATIENCE = 60.0
SLOTS = 2
QUEUE = "test.celery.default"


class Listener:
    """A doorman for an agent that answers at once, and somebody who rings."""

    def __init__(self, broker: Broker, *, port: int | None = None, clock: Clock | None = None) -> None:
        here, there = (_options(broker, each) for each in (broker.port, port or broker.port))
        self._news = threading.Condition()
        self._heard: set[str] = set()
        self._rung = 0
        self._is_full = False
        self.knocks: list[str] = []
        self.ringer = Ringer(here, SystemClock())
        self.nudged: list[str] = []
        told: dict[str, Any] = {"knock": self._knock, "nudge": self.nudged.extend, "clock": clock or SystemClock()}
        self.doorman = Doorman(Listening(options=there, queues=["default"], name="w", slots=SLOTS), **told)
        self._thread = threading.Thread(target=self.doorman.run)
        self._thread.start()

    def ring(self, count: int = 1) -> set[str]:
        """Ring for new attempts."""
        idents = [f"a{self._rung + number}" for number in range(count)]
        self._rung += count
        self.ringer.ring([Offer(attempt_id=each, token="t", queue="default", priority=1) for each in idents])
        return set(idents)

    def hears(self) -> bool:
        """Ring until something is heard that was rung for since."""
        clock, rung = SystemClock(), self.ring()
        deadline = clock.monotonic() + PATIENCE
        while clock.monotonic() < deadline:
            with self._news:
                if self._news.wait_for(lambda: not rung.isdisjoint(self._heard), 1.0):
                    return True
            rung.update(self.ring())
        return False

    def fill(self) -> None:
        """Have every slot taken: who knocks is sent away."""
        with self._news:
            self._is_full = True

    def empty(self) -> None:
        """Have room for doorbells again, and say so."""
        with self._news:
            self._is_full = False
            self.doorman.welcome(True)

    def has_heard_all(self) -> bool:
        """Whether none is under way of those that were rung."""
        with self._news:
            return len(self._heard) == self._rung

    def close(self) -> None:
        self.ringer.close()
        self.doorman.stop(PATIENCE)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert celery_state.should_stop is None  # which others in this process may listen to

    def _knock(self, attempt_id: str, token: str) -> Future[bool]:
        answer: Future[bool] = Future()
        with self._news:
            if self._is_full:
                self.doorman.welcome(False)
                answer.cancel()
            else:
                answer.set_result(True)
            self._heard.add(attempt_id)
            self.knocks.append(attempt_id)
            self._news.notify_all()
        return answer


def _options(broker: Broker, port: int) -> BrokerOptions:
    url = broker.url().replace(f":{broker.port}/", f":{port}/")
    return BrokerOptions(executor="celery", url=url, transport={}, prefix="test", key=b"k")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(holds: Callable[[], bool]) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + PATIENCE
    while not holds():
        assert clock.monotonic() < deadline
        clock.sleep(0.01)


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Starts listeners; each is stopped afterwards."""
    made: list[Listener] = []

    def start(broker: Broker, **fields: Any) -> Listener:
        made.append(Listener(broker, **fields))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.mark.broker
def test_a_worker_hears_again_after_each_cut_and_loses_no_slot_of_its_prefetch_by_it(
    broker: Broker, listen: Callable[..., Listener]
) -> None:
    listener = listen(broker)
    assert listener.hears()
    descriptors, cuts = open_descriptors(), 2 * SLOTS
    for _ in range(cuts):
        listener.ring(10)  # some of which are under way, or are not acknowledged
        broker.drop_connections()
        assert listener.hears()
    # Others in this process may have opened some meanwhile, but nothing is left of each connection.
    wait_until(lambda: gc.collect() >= 0 and open_descriptors() < descriptors + cuts)


@pytest.mark.broker
def test_a_worker_that_is_full_gives_its_doorbells_back_and_takes_them_once_it_is_not(
    broker: Broker, listen: Callable[..., Listener]
) -> None:
    listener = listen(broker)
    assert listener.hears()
    listener.fill()
    rung = listener.ring(SLOTS + 2)
    wait_until(lambda: not rung.isdisjoint(listener.knocks))
    listener.empty()
    wait_until(lambda: rung.issubset(listener.knocks))
    assert listener.hears()
    assert max(Counter(listener.knocks).values()) == 2


@pytest.mark.broker
def test_acknowledgements_that_fail_leave_no_worker_deaf(redis: RedisServer, listen: Callable[..., Listener]) -> None:
    redis.wipe()
    listener = listen(redis)
    assert listener.hears()
    redis.ask("ACL", "SETUSER", "default", "-zrem")
    try:
        assert all(listener.hears() for _ in range(2 * SLOTS))
    finally:
        redis.ask("ACL", "SETUSER", "default", "+zrem")
    assert listener.hears()


@pytest.mark.broker
def test_a_connection_that_went_silent_is_replaced_when_work_is_found_without_a_doorbell(
    broker: Broker, listen: Callable[..., Listener]
) -> None:
    proxy, clock = Proxy(broker.port), FakeClock()
    try:
        listener = listen(broker, port=proxy.port, clock=clock)
        assert listener.hears()
        wait_until(listener.has_heard_all)  # or one that is late would tell that this connection is sound
        if isinstance(broker, RedisServer):
            wait_until(lambda: broker.ask("HLEN", "unacked") == "0")
        assert proxy.stall() > 0
        listener.doorman.missed()
        clock.advance(FIRST_SILENCE)
        listener.doorman.missed()
        assert listener.hears()
    finally:
        proxy.close()


@pytest.mark.broker
def test_whatever_else_is_in_the_queue_is_dropped_with_one_line(
    broker: Broker, listen: Callable[..., Listener], caplog: pytest.LogCaptureFixture
) -> None:
    unpacked: list[bytes] = []
    compression.register(None, unpacked.append, "application/x-noted")
    packed = {"compression": "application/x-noted"}
    with caplog.at_level(logging.WARNING):
        listener = listen(broker, clock=FakeClock())  # by which no time passes until the second line
        assert listener.hears()
        with Connection(broker.url()) as connection:
            send = connection.Producer().publish
            nudge = {"exchange": nudge_exchange(_options(broker, broker.port)), "routing_key": ""}
            text = {"content_type": "application/json", "content_encoding": "utf-8", "routing_key": QUEUE}
            for _ in range(SLOTS + 1):
                send(b"\xff\xfe", **text)
                send(b"[" * 10_000, **text)
                send(b"{}", **text)
                send(b"[[], null, {}]", **text)
                send(b" " * 1_000_000, **text)
                send(b"not gzip", headers={"compression": "application/x-gzip"}, **text)
                send(b"little that becomes much", headers=packed, **text)
                send(b"{}", headers={"compression": "application/x-gzip"}, **(text | nudge))
                send(b"{}", headers=packed, **(text | nudge))
                send(b"{}", content_type="application/x-python-serialize", **nudge)
                send(b"\x80\x04.", content_type="application/x-python-serialize", routing_key=QUEUE)
                send([[], sign(b"another key", "a", "t"), {}], serializer="json", routing_key=QUEUE)
            if isinstance(broker, RedisServer):
                for rubbish in ("rubbish", "[]", "null", "{}", '{"body": 1, "properties": {"delivery_tag": 1}}'):
                    broker.ask("LPUSH", QUEUE, rubbish)
        assert all(listener.hears() for _ in range(SLOTS + 1))
        listener.ringer.nudge({"n"})
        wait_until(lambda: listener.nudged == ["n"])
    assert unpacked == [], "what is compressed is not looked into"
    dropped = [record for record in caplog.records if record.getMessage().startswith("dropped a message that cannot")]
    assert len(dropped) == 1


@pytest.mark.broker
def test_all_that_is_to_be_stopped_is_told_though_it_is_more_than_a_message_holds(
    redis: RedisServer, listen: Callable[..., Listener]
) -> None:
    listener, wanted = listen(redis), {f"n{number}" for number in range(1000)}
    assert listener.hears()
    listener.ringer.nudge(wanted)
    wait_until(lambda: set(listener.nudged) == wanted)


def test_two_finds_some_time_apart_without_a_doorbell_tell_of_deaf_ears() -> None:
    watch = Watch()
    assert not watch.missed(100.0)
    assert not watch.missed(100.0 + FIRST_SILENCE - 0.1)
    assert watch.missed(100.0 + FIRST_SILENCE)
    assert not watch.missed(200.0)  # that was in vain: the next time it takes twice as long
    assert not watch.missed(200.0 + 2 * FIRST_SILENCE - 0.1)
    watch.heard()
    assert not watch.missed(300.0)
    assert watch.missed(300.0 + FIRST_SILENCE)
    for _ in range(100):
        watch.missed(1e6)
        assert watch.missed(1e6 + LONGEST_SILENCE)
