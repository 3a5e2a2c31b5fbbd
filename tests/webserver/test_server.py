"""The HTTP server over a real socket."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from clockmill.errors import UsageError
from clockmill.host.keys import load_or_make_key
from clockmill.webserver.server import WebServer, listen


@pytest.fixture
def server(app: Flask) -> Iterator[tuple[WebServer, int, threading.Thread]]:
    """The application, served from a thread; the test may stop it itself."""
    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    server = WebServer(app, sock, threads=2)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server, port, thread
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


def ask(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def test_it_answers_and_stops_when_told_from_another_thread(server: tuple[WebServer, int, threading.Thread]) -> None:
    running, port, thread = server
    status, body = ask(port, "/health")
    assert status == 503
    assert '"scheduler"' in body

    running.stop()
    thread.join(10)

    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/health")
    listen("127.0.0.1", port).close()


def test_the_connections_that_many_workers_keep_open_keep_nobody_out(
    server: tuple[WebServer, int, threading.Thread],
) -> None:
    _, port, _ = server
    kept = [HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(150)]
    for each in kept:
        each.request("GET", "/health")
        each.getresponse().read()
    assert ask(port, "/health")[0] == 503
    for each in kept:
        each.close()


def test_an_answer_under_way_is_finished_before_it_stops(app: Flask) -> None:
    began, go_on = threading.Event(), threading.Event()

    @app.get("/slow")
    def slow() -> str:
        began.set()
        go_on.wait(10)
        return "done"

    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    server = WebServer(app, sock, threads=1)
    serving = threading.Thread(target=server.serve)
    answers: list[tuple[int, str]] = []
    asking = threading.Thread(target=lambda: answers.append(ask(port, "/slow")))
    serving.start()
    asking.start()
    assert began.wait(10)

    server.stop()
    go_on.set()
    serving.join(10)
    asking.join(10)

    assert answers == [(200, "done")]


def test_a_request_that_ends_at_the_moment_of_stopping_does_no_harm(app: Flask) -> None:
    server = WebServer(app, listen("127.0.0.1", 0))
    serving = threading.Thread(target=server.serve)
    trigger: Any = server._server.trigger
    ring = trigger._physical_pull

    def ring_after_somebody_else() -> None:
        ring()
        serving.join(0.2)  # it would have closed the descriptor by then
        ring()

    trigger._physical_pull = ring_after_somebody_else
    serving.start()
    server.stop()
    serving.join(10)
    assert not serving.is_alive()


def test_stopping_before_it_serves_and_stopping_twice_do_no_harm(app: Flask) -> None:
    server = WebServer(app, listen("127.0.0.1", 0))

    server.stop()
    server.serve()
    server.stop()


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"Cannot listen on 127.0.0.1, port {port}: Address already in use"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no-such-host.invalid", 8080)])
def test_an_address_that_cannot_be_is_one_clear_line(host: str, port: int) -> None:
    with pytest.raises(UsageError, match="Cannot listen on"):
        listen(host, port)


def test_the_secret_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "web.key"

    key = load_or_make_key(path)

    assert len(key) == 32
    assert load_or_make_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
