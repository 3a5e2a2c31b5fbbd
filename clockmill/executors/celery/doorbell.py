"""What a doorbell says on its way through the broker, and that it is one of ours. Light: it imports no Celery."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from clockmill.errors import ConfigError, did_you_mean
from clockmill.executors.setup import ExecutorSetup

#: The name of the one task that Celery knows.
TASK = "clockmill.doorbell"
#: Brokers tell so many priorities apart.
PRIORITIES = 10

_DEFAULTS = {"broker_url": "redis://127.0.0.1:6379/0", "transport_options": "{}", "queue_prefix": "clockmill"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """Where the doorbells go.

    :param executor: the name of the executor, which is part of the names of its queues.
    :param key: what they are signed with.
    """

    executor: str
    url: str
    transport: Mapping[str, Any]
    prefix: str
    key: bytes

    @classmethod
    def of(cls, setup: ExecutorSetup) -> BrokerOptions:
        """What the setup of an executor says.

        :raises ConfigError: when an option is unknown or no good.
        """
        options = setup.read_options(_DEFAULTS)
        try:
            transport = json.loads(options["transport_options"])
        except ValueError:
            transport = None
        if not isinstance(transport, dict):
            raise ConfigError(f"[executor.{setup.name}] transport_options must be a JSON object.")
        url, prefix = options["broker_url"], options["queue_prefix"]
        _check_transport(setup.name, url)
        made = cls(executor=setup.name, url=url, transport=transport, prefix=prefix, key=setup.key)
        if made.is_sentinel:
            _check_sentinel(setup.name, transport)
        return made

    @property
    def is_redis(self) -> bool:
        """Whether the broker is Redis, behind sentinels or not."""
        return self.url.startswith(("redis", "sentinel"))

    @property
    def is_sentinel(self) -> bool:
        """Whether the URLs are those of sentinels, which know where Redis is."""
        return self.url.startswith("sentinel")

    @property
    def is_amqp(self) -> bool:
        """Whether the broker is RabbitMQ, or speaks as it does."""
        return self.url.startswith(("amqp", "pyamqp"))

    def turned(self, times: int) -> BrokerOptions:
        """The same with another of several brokers first, where the URL names more than one.

        :param times: how often one was tried in vain: in the end each has its turn.
        """
        urls = self.url.split(";")
        first = times % len(urls)
        return replace(self, url=";".join(urls[first:] + urls[:first]))

    def queue(self, name: str) -> str:
        """What a queue of tasks is called in the broker."""
        return f"{self.prefix}.{self.executor}.{name}"

    def priority(self, priority: int) -> int:
        """The priority in the broker: from 0 to 9, each step for twice as much.

        For Redis, where the lowest number comes first, it is turned round.
        """
        step = min(PRIORITIES - 1, max(priority, 0).bit_length())
        return PRIORITIES - 1 - step if self.is_redis else step


def _check_transport(executor: str, urls: str) -> None:
    from kombu.transport import TRANSPORT_ALIASES  # which is slow to load, and not wanted by who only signs

    for url in urls.split(";"):
        kind, mark, _ = url.strip().partition("://")
        if not mark or kind.partition("+")[0] not in TRANSPORT_ALIASES:
            told = f"begins with {kind + mark!r}" if mark else "has no '://'"  # and not all of it: there is a password
            raise ConfigError(
                f"[executor.{executor}] broker_url {told}, but must be like redis://HOST:6379/0 or "
                f"amqp://USER:PASSWORD@HOST:5672/VHOST.{did_you_mean(kind, TRANSPORT_ALIASES)}"
            )
        if not _has_good_port(url):
            raise ConfigError(
                f"[executor.{executor}] broker_url has a port that is no number up to 65535; write a '/' in a password "
                "as %2F, a '#' as %23, a '?' as %3F."
            )


def _check_sentinel(executor: str, transport: Mapping[str, Any]) -> None:
    section = f"[executor.{executor}] transport_options"
    if not isinstance(transport.get("master_name"), str):
        raise ConfigError(
            f'{section} must name what the sentinels of broker_url watch over, as {{"master_name": "mymaster"}}.'
        )
    if not isinstance(transport.get("sentinel_kwargs", {}), dict):
        raise ConfigError(f'{section}: sentinel_kwargs must be an object, as {{"password": "secret"}}.')


def _has_good_port(url: str) -> bool:
    try:
        urlsplit(url.strip()).port  # noqa: B018 - it is read now, and refused when it is none
    except ValueError:
        return False
    return True


def sign(key: bytes, attempt_id: str, token: str) -> dict[str, str]:
    """The arguments of a doorbell."""
    return {"attempt_id": attempt_id, "token": token, "signature": _signature(key, attempt_id, token)}


def is_genuine(key: bytes, told: object) -> bool:
    """Whether arguments are those that :func:`sign` made with the same key."""
    if not isinstance(told, dict):
        return False
    attempt_id, token, signature = (told.get(name) for name in ("attempt_id", "token", "signature"))
    if not (isinstance(attempt_id, str) and isinstance(token, str) and isinstance(signature, str)):
        return False
    return hmac.compare_digest(_signature(key, attempt_id, token).encode(), signature.encode(errors="replace"))


def _signature(key: bytes, attempt_id: str, token: str) -> str:
    said = f"{TASK}\n{attempt_id}\n{token}".encode(errors="backslashreplace")
    return hmac.new(key, said, hashlib.sha256).hexdigest()
