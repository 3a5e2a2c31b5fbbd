"""The Celery executor does with either broker what every brokered executor has to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from kombu import Connection

from clockmill.errors import ConfigError
from clockmill.executors.celery.app import bell_queue
from clockmill.executors.celery.doorbell import BrokerOptions
from clockmill.executors.celery.executor import CeleryExecutor
from clockmill.executors.setup import ExecutorSetup
from clockmill.testing.brokered import BrokeredConformance, Stage
from clockmill.testing.servers import RabbitServer, RedisServer
from tests.workers.proxy import Proxy


@pytest.mark.broker
class TestCeleryExecutor(BrokeredConformance):
    executor_class = CeleryExecutor

    @pytest.fixture(autouse=True)
    def connect(self, broker: RedisServer | RabbitServer) -> Iterator[None]:
        self.proxy, self.connection = Proxy(broker.port), Connection(broker.url())
        url = broker.url().replace(f":{broker.port}/", f":{self.proxy.port}/")
        self.options = {"broker_url": url, "queue_prefix": "conformance"}
        yield
        self.connection.release()
        self.proxy.close()

    def heard(self, setup: ExecutorSetup, queue: str) -> Iterator[tuple[str, str]]:
        bells = bell_queue(BrokerOptions.of(setup), queue)(self.connection.default_channel)
        bells.declare()
        while (message := bells.get(no_ack=True)) is not None:
            _, told, _ = json.loads(message.body)
            yield told["attempt_id"], told["token"]

    def away(self) -> AbstractContextManager[None]:
        return self.proxy.away()

    def test_a_broker_of_no_known_kind_is_refused(self, stage: Stage) -> None:
        stage.setup.options["broker_url"] = "rabbit://host"
        with pytest.raises(ConfigError, match=r"\[executor.tested\] broker_url begins with 'rabbit://', but must be"):
            stage.make()
