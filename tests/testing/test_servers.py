"""The servers that other tests lean on: what a broker keeps over a crash, and that nothing of it stays behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from kombu import Connection

from clockmill.testing.bench import await_end
from clockmill.testing.servers import RabbitServer, RedisServer, ServerMissing, rabbit_server, redis_server

Broker = RedisServer | RabbitServer

#: Starts a server, tells its processes, and waits to be killed.
_PROGRAM = """
import sys
from clockmill.testing import servers
with getattr(servers, sys.argv[1])() as server:
    mapper = getattr(server, "_mapper", None)
    print(server.folder, server.pid, *([mapper.pid] if mapper else []), flush=True)
    sys.stdin.read()
"""
_SECONDS = 60.0

pytestmark = pytest.mark.broker


def put(broker: Broker, messages: int) -> None:
    with (
        Connection(broker.url(), transport_options={"confirm_publish": True}) as connection,
        connection.SimpleQueue("q") as queue,
    ):
        for number in range(messages):
            queue.put({"number": number})


def taken(broker: Broker) -> list[int]:
    numbers = []
    waiting = broker.waiting("q")
    with Connection(broker.url()) as connection, connection.SimpleQueue("q") as queue:
        for _ in range(waiting):
            message = queue.get(timeout=_SECONDS)
            numbers.append(message.payload["number"])
            message.ack()
    return numbers


@pytest.fixture(params=[redis_server, rabbit_server])
def own_broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A server that the test may break."""
    with request.param() as server:
        yield server


def test_messages_wait_until_they_are_taken_in_order(broker: Broker) -> None:
    put(broker, 3)
    assert broker.waiting("q") == 3
    assert taken(broker) == [0, 1, 2]
    assert broker.waiting("q") == 0


def test_a_purge_throws_away_what_waits_and_the_broker_goes_on(broker: Broker) -> None:
    put(broker, 2)
    broker.purge()
    assert broker.waiting("q") == 0
    put(broker, 1)
    assert broker.waiting("q") == 1


def test_a_wiped_broker_takes_queues_of_another_kind(broker: Broker) -> None:
    for priorities in (None, 5):
        with Connection(broker.url()) as connection:
            queue = connection.SimpleQueue("q", queue_opts={"max_priority": priorities})
            queue.put({"number": 1})
            queue.close()
        assert broker.waiting("q") == 1
        broker.wipe()


def test_clients_of_redis_that_are_cut_off_notice(redis: RedisServer) -> None:
    with socket.create_connection(("127.0.0.1", redis.port), _SECONDS) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
        assert redis.drop_connections() >= 1
        assert client.recv(100) == b""


def test_clients_of_rabbitmq_that_are_cut_off_notice(rabbitmq: RabbitServer) -> None:
    with Connection(rabbitmq.url()) as connection:
        connection.connect()
        assert rabbitmq.drop_connections() >= 1
        with pytest.raises(connection.connection_errors, match="CONNECTION_FORCED"):
            connection.drain_events(timeout=_SECONDS)


def test_what_a_broker_took_outlives_its_crash_but_not_its_disk(own_broker: Broker) -> None:
    port = own_broker.port
    put(own_broker, 2)
    own_broker.restart(signal.SIGKILL)
    assert own_broker.waiting("q") == 2
    own_broker.restart()
    assert own_broker.waiting("q") == 2
    own_broker.restart(signal.SIGKILL, with_data=False)
    assert own_broker.waiting("q") == 0
    put(own_broker, 1)
    assert (own_broker.waiting("q"), own_broker.port) == (1, port)


def test_a_stopped_broker_is_not_there_and_starts_again_where_it_was() -> None:
    with redis_server() as server:
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        server.start()
        assert server.ask("PING") == "PONG"
    assert not server.folder.exists()


@pytest.mark.parametrize("name", ["redis_server", "rabbit_server"])
def test_a_server_ends_with_the_process_that_started_it(name: str) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _PROGRAM, name], stdin=pipe, stdout=pipe, text=True) as starter:
        assert starter.stdout is not None
        folder, *pids = starter.stdout.readline().split()
        starter.kill()
        for pid in pids:
            await_end(int(pid))
    subprocess.run(["rm", "-r", folder], check=True)


@pytest.mark.parametrize(("make", "package"), [(redis_server, "redis-server"), (rabbit_server, "rabbitmq-server")])
def test_a_server_that_is_not_installed_is_named_with_its_package(
    make: Callable[[], AbstractContextManager[Broker]], package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerMissing, match=f"the Debian package '{package}' brings it"), make():
        pass
