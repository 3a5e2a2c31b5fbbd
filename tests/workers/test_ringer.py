"""Sending doorbells to real brokers, which may be away, or refuse one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from clockmill.clock import SystemClock
from clockmill.executors.base import Offer
from clockmill.executors.celery.doorbell import BrokerOptions
from clockmill.executors.celery.ringer import Ringer
from clockmill.testing.servers import RabbitServer, RedisServer

pytestmark = pytest.mark.broker

Broker = RedisServer | RabbitServer
PATIENCE = 60.0
#: The priority whose list in Redis is named as the queue itself.
HIGHEST = 1 << 10


def bell(queue: str = "default") -> Offer:
    return Offer(attempt_id="a", token="t", queue=queue, priority=HIGHEST)


def arrived(broker: Broker, count: int) -> bool:
    """Wait until so many doorbells are in the queue."""
    clock = SystemClock()
    deadline = clock.monotonic() + PATIENCE
    while broker.waiting("test.celery.default") < count:
        assert clock.monotonic() < deadline, f"{broker.waiting('test.celery.default')} of {count} doorbells"
        clock.sleep(0.02)
    return True


@pytest.fixture
def ringer() -> Iterator[Callable[[Broker], Ringer]]:
    """Makes ringers; each is closed afterwards."""
    made: list[Ringer] = []

    def make(broker: Broker) -> Ringer:
        options = BrokerOptions(executor="celery", url=broker.url(), transport={}, prefix="test", key=b"k")
        made.append(Ringer(options, SystemClock()))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_broker_that_is_away_is_waited_for_by_nobody_and_rung_when_it_is_back(
    broker: Broker, ringer: Callable[[Broker], Ringer]
) -> None:
    broker.stop()
    try:
        ringing = ringer(broker)
        ringing.ring([bell()])
    finally:
        broker.start()
    ringing.ring([bell()])
    assert arrived(broker, 1)


def test_a_connection_that_was_cut_is_made_anew(redis: RedisServer, ringer: Callable[[Broker], Ringer]) -> None:
    redis.purge()
    ringing = ringer(redis)
    ringing.ring([bell()])
    assert arrived(redis, 1)
    redis.drop_connections()
    ringing.ring([bell()])
    assert arrived(redis, 2)


def test_a_doorbell_that_finds_no_queue_is_sent_again(
    rabbitmq: RabbitServer, ringer: Callable[[Broker], Ringer]
) -> None:
    rabbitmq.wipe()
    ringing = ringer(rabbitmq)
    ringing.ring([bell()])
    assert arrived(rabbitmq, 1)
    rabbitmq.wipe()
    ringing.ring([bell()])
    assert arrived(rabbitmq, 1)


def test_a_doorbell_that_the_broker_refuses_does_not_hold_up_the_next(
    rabbitmq: RabbitServer, ringer: Callable[[Broker], Ringer]
) -> None:
    rabbitmq.wipe()
    ringing = ringer(rabbitmq)
    ringing.ring([bell("q" * 300), bell()])
    assert arrived(rabbitmq, 1)
