"""The Celery application, made anew for each that needs one: for sending, and for a worker."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from clockmill.executors.celery.doorbell import PRIORITIES, BrokerOptions

#: Seconds that a call to the broker may take.
PATIENCE = 5.0
#: Seconds between two signs of life: a connection whose other end is gone without a word is given up after about three.
_HEARTBEAT = 5
_REDIS = {
    "socket_connect_timeout": PATIENCE,
    "socket_timeout": PATIENCE,
    "socket_keepalive": True,
    "health_check_interval": _HEARTBEAT,
}
#: Seconds in which a sentinel answers; one that is gone without a word holds up each connection for as long.
_SENTINEL_PATIENCE = 1.0
_AMQP = {"read_timeout": PATIENCE, "write_timeout": PATIENCE, "confirm_publish": True}


def make_app(options: BrokerOptions) -> Celery:
    """An application for this broker: JSON only, no results, nothing that a message could order but to knock."""
    app = Celery("clockmill", broker=options.url, set_as_current=False, fixups=set())
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        event_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        broker_heartbeat=_HEARTBEAT,
        broker_connection_timeout=PATIENCE,
        broker_connection_retry=False,
        broker_connection_retry_on_startup=False,
        broker_transport_options=_transport_options(options),
    )
    return app


def _transport_options(options: BrokerOptions) -> dict[str, Any]:
    defaults = _REDIS if options.is_redis else _AMQP if options.is_amqp else {}
    chosen = {**defaults, **options.transport}
    if options.is_sentinel:
        chosen["sentinel_kwargs"] = {**_sentinel_defaults(), **options.transport.get("sentinel_kwargs", {})}
    return chosen


def _sentinel_defaults() -> dict[str, Any]:
    """How a sentinel is asked: once, since there are others.

    The client would ask one that is gone several times with pauses, and that again for each try to connect: minutes.
    """
    from redis.backoff import NoBackoff  # which no other broker needs
    from redis.retry import Retry

    return {
        "socket_connect_timeout": _SENTINEL_PATIENCE,
        "socket_timeout": _SENTINEL_PATIENCE,
        "retry": Retry(NoBackoff(), 0),
    }


def bell_queue(options: BrokerOptions, name: str) -> Queue:
    """The queue of the broker for a queue of tasks.

    It needs no exchange but the broker's own, which finds queues by their name: nothing to lose with the broker's data.
    """
    key = options.queue(name)
    arguments: dict[str, Any] = {} if options.is_redis else {"x-max-priority": PRIORITIES}
    return Queue(key, Exchange(""), routing_key=key, queue_arguments=arguments, durable=True)


def nudge_exchange(options: BrokerOptions) -> Exchange:
    """By which all workers of an executor hear at once that something is to be stopped."""
    return Exchange(f"{options.prefix}.{options.executor}.nudge", type="fanout", durable=False, delivery_mode=1)
