"""Who the execution API answers, and what the other side makes of the answers."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from sqlalchemy import insert, update

from clockmill.errors import ConfigError, GatewayUnavailable, NotFound, TaskGone, WorkerGone
from clockmill.protocols import ReadGateway
from clockmill.protocols.workers import Exchange, WorkerInfo
from clockmill.runtime.remote import reads
from clockmill.runtime.remote.client import Client, Gone, Refused
from clockmill.runtime.remote.signing import MOST_BYTES, PREFIX, SIGNATURE, sign
from clockmill.runtime.remote.worker import HttpWorkerGateway
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.webserver import execution
from tests.gateways.conftest import SECRET

pytestmark = pytest.mark.filterwarnings("error")
WORKER = WorkerInfo(
    id="w", executor="x", host="h", boot_id="b", pid=1, slots=2, queues=["default"], version="1", resources={"gpu": 1.0}
)


@pytest.fixture
def live(rows: Any) -> tuple[str, str]:
    """A live attempt: its id and token."""
    run = rows.run(rows.dag("d"), "d", "r")
    return rows.attempt(run, rows.task(run, "t"), "me"), "token-me"


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    opened = Client(address, SECRET)
    yield opened
    opened.close()


def post(address: str, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    response = urllib3.request("POST", address + PREFIX + path, body=body, headers=headers)
    return response.status, json.loads(response.data)


def signed(path: str, body: bytes) -> dict[str, str]:
    return {SIGNATURE: sign(SECRET, PREFIX + path, body)}


def test_a_call_that_is_not_signed_with_the_secret_is_refused(address: str, live: tuple[str, str]) -> None:
    for secret in (b"another", b""):
        stranger = HttpWorkerGateway(Client(address, secret))
        with pytest.raises(Refused, match="not signed with the secret of this installation"):
            stranger.register(WORKER)
        # Of two web servers one may have the wrong secret: what ran meanwhile is told to the other one.
        with pytest.raises(GatewayUnavailable, match="not signed with the secret of this installation"):
            stranger.exchange("w", Exchange(beat=1))
    assert post(address, "/worker/leave", b"{}")[0] == 401
    assert post(address, "/access", b"{}")[0] == 401


def test_a_signature_is_of_one_call_alone(address: str, live: tuple[str, str]) -> None:
    body = json.dumps({"worker_id": "w"}).encode()
    assert post(address, "/worker/leave", body, **signed("/worker/exchange", body))[0] == 401
    assert post(address, "/worker/leave", body + b" ", **signed("/worker/leave", body))[0] == 401
    assert post(address, "/worker/leave", body, **signed("/worker/leave", body))[0] == 200


def test_an_access_reads_for_its_attempt_and_does_nothing_else(
    address: str, client: Client, live: tuple[str, str]
) -> None:
    access = client.call("/access", {"attempt_id": live[0], "token": live[1]})
    assert client.call("/read/get_variable", {"key": "x"}, access=access) is None
    with pytest.raises(Refused, match="A task cannot call 'close'"):
        client.call("/read/close", {}, access=access)
    with pytest.raises(GatewayUnavailable, match="not signed"):
        client.call("/worker/exchange", {"worker_id": "w", "said": {"beat": 1}}, access=access)
    with pytest.raises(Refused, match="carries no access"):
        client.call("/read/get_variable", {"key": "x"})
    with pytest.raises(Refused, match="not of this installation"):
        client.call("/read/get_variable", {"key": "x"}, access=access[:-2] + "xx")


def test_only_a_live_attempt_gets_an_access_and_it_ends_with_the_attempt(
    client: Client, database: Database, rows: Any, live: tuple[str, str]
) -> None:
    with pytest.raises(Gone):
        client.call("/access", {"attempt_id": live[0], "token": "another"})
    access = client.call("/access", {"attempt_id": live[0], "token": live[1]})
    over = update(tables.attempt).values(state="success", ended_at=rows.moment(9))
    database.write(lambda connection: connection.execute(over))
    with pytest.raises(Gone):
        client.call("/read/get_variable", {"key": "x"}, access=access)


def test_an_access_that_is_over_is_asked_for_again_without_the_task_noticing(
    address: str, live: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway: ReadGateway = reads.open_gateway(reads.gateway_spec(address, SECRET))
    issued: list[str] = []
    dumps = URLSafeTimedSerializer.dumps

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        issued.append("access")
        return dumps(self, *arguments, **named)

    monkeypatch.setattr(URLSafeTimedSerializer, "dumps", counted)
    assert gateway.get_variable(*live, "x") is None
    assert gateway.get_variable(*live, "x") is None
    assert len(issued) == 1
    monkeypatch.setattr(execution, "ACCESS_SECONDS", -1)
    with pytest.raises(GatewayUnavailable, match="The access is over"):  # it was renewed once, and is over again
        gateway.get_variable(*live, "x")
    assert len(issued) == 2
    monkeypatch.setattr(execution, "ACCESS_SECONDS", 600)
    assert gateway.get_variable(*live, "x") is None
    assert len(issued) == 2
    gateway.close()


def test_an_access_of_a_web_server_with_a_clock_that_is_ahead_is_as_good_as_any(
    address: str, live: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = TimestampSigner.get_timestamp
    with monkeypatch.context() as ahead:
        ahead.setattr(TimestampSigner, "get_timestamp", lambda self: now(self) + 30)
        gateway: ReadGateway = reads.open_gateway(reads.gateway_spec(address, SECRET))
        assert gateway.get_variable(*live, "x") is None
    assert gateway.get_variable(*live, "x") is None
    gateway.close()


@pytest.mark.parametrize(
    ("body", "headers", "status", "sentence"),
    [
        (b"", {}, 400, "no JSON"),
        (b"[]", {}, 400, "must be a JSON object"),
        (b"{" * 10_000, {}, 400, "no JSON"),
        (b"[" * 100_000, {}, 400, "no JSON"),
        (b"{}", {"Content-Encoding": "br"}, 400, "must be gzip"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "no gzip"),
        (gzip.compress(b"0" * (MOST_BYTES + 1), mtime=0), {"Content-Encoding": "gzip"}, 413, "larger than 64 MiB"),
        (gzip.compress(b"{}", mtime=0)[:-9], {"Content-Encoding": "gzip"}, 413, "cut off"),
        (b"{}", {}, 400, "worker_id"),
        (b'{"worker_id": {"a": 1}}', {}, 400, "worker_id must be a text"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_in_one_sentence(
    address: str, body: bytes, headers: dict[str, str], status: int, sentence: str
) -> None:
    found, answer = post(address, "/worker/leave", body, **signed("/worker/leave", body), **headers)
    assert (found, answer["kind"]) == (status, "refused")
    assert sentence in answer["error"]
    assert "Traceback" not in answer["error"]


def test_a_file_of_certificates_that_cannot_be_used_is_named() -> None:
    for file, told in (("/nowhere.pem", "No such file"), (__file__, "no certificate")):
        with pytest.raises(ConfigError, match=rf"\[workers\] api_ca_file: {file} cannot be used: .*{told}"):
            Client("https://mill", SECRET, ca_file=file)


def test_a_call_that_is_too_large_for_any_server_is_not_sent(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clockmill.runtime.remote.client.MOST_BYTES", 1000)
    with pytest.raises(Refused, match="is too large"):
        client.call("/worker/leave", {"worker_id": "w" * 1000})


def test_other_addresses_and_methods_are_answered_in_json(address: str, client: Client) -> None:
    assert post(address, "/nothing", b"{}")[0] == 404
    response = urllib3.request("GET", f"{address}{PREFIX}/worker/leave")
    assert response.status == 405 and json.loads(response.data)["kind"] == "refused"
    with pytest.raises(Refused, match="There is no call 'sleep'"):
        client.call("/worker/sleep", {})


def test_a_worker_registers_exchanges_and_is_told_when_it_was_given_up(client: Client, database: Database) -> None:
    gateway = HttpWorkerGateway(client)
    with pytest.raises(WorkerGone):
        gateway.exchange("w", Exchange(beat=1))
    gateway.register(WORKER)
    assert gateway.exchange("w", Exchange(beat=1, want=2)).workloads == []
    gateway.leave("w")
    with pytest.raises(WorkerGone, match="The worker w was given up"):
        gateway.exchange("w", Exchange(beat=2))


def test_files_of_a_bundle_come_whole_in_as_many_answers_as_it_takes(
    client: Client, database: Database, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [bytes([number]) * 700 for number in range(5)] + [b"", b"\0\xff"]
    hashes = {hashlib.sha256(content).hexdigest(): content for content in contents}
    new = [{"hash": key, "content": content, "size_bytes": len(content)} for key, content in hashes.items()]
    database.write(lambda connection: connection.execute(insert(tables.bundle_file), new))
    monkeypatch.setattr(execution, "_MOST_FILE_BYTES", 1500)
    gateway = HttpWorkerGateway(client)
    assert gateway.get_files([*hashes, "nowhere"]) == hashes
    with pytest.raises(NotFound, match="There is no bundle 'none'"):
        gateway.get_manifest("none")


def test_a_long_answer_is_packed_for_those_who_can_unpack_it(address: str, database: Database) -> None:
    content = b"a" * 100_000
    key = hashlib.sha256(content).hexdigest()
    row = {"hash": key, "content": content, "size_bytes": len(content)}
    database.write(lambda connection: connection.execute(insert(tables.bundle_file), [row]))
    body = json.dumps({"hashes": [key]}).encode()
    for encoding, is_packed in (("gzip", True), ("identity", False)):
        headers = {**signed("/worker/files", body), "Accept-Encoding": encoding}
        response = urllib3.request(
            "POST", f"{address}{PREFIX}/worker/files", body=body, headers=headers, decode_content=False
        )
        assert (len(response.data) < 10_000) is is_packed
        plain = gzip.decompress(response.data) if is_packed else response.data
        assert base64.b64decode(json.loads(plain)["value"]["files"][key]) == content


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server that is none of ours."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, *arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (502, b"<html>Bad gateway</html>"),
        (200, b"<html>Please log in</html>"),
        (410, b"gone, says the proxy"),
        (404, b"{}"),
        (502, b'{"error": "Bad Gateway"}'),
        (500, b'{"error": {"code": 500}, "kind": "upstream"}'),
        (503, json.dumps({"error": "the database is away", "kind": "unavailable"}).encode()),
    ],
)
def test_what_is_no_answer_of_the_api_means_unavailable_and_never_gone(status: int, body: bytes) -> None:
    with answering(lambda handler: reply(handler, status, body)) as address:
        gateway = reads.open_gateway(reads.gateway_spec(address, SECRET))
        with pytest.raises(GatewayUnavailable):
            gateway.get_variable("a", "t", "x")
        gateway.close()


def test_a_server_that_is_not_there_is_unavailable_and_found_again_when_it_comes_back() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = Client(f"http://127.0.0.1:{taken.getsockname()[1]}", SECRET)
        with pytest.raises(GatewayUnavailable, match="cannot be asked"):
            client.call("/worker/leave", {})
    client.close()


def test_a_server_that_does_not_answer_is_waited_for_once() -> None:
    asked: list[str] = []
    came, over = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        came.set()
        over.wait()
        handler.close_connection = True

    with answering(answer) as address:
        client = Client(address, SECRET, answer_seconds=0.1)
        with pytest.raises(GatewayUnavailable, match="Read timed out"):
            client.call("/worker/exchange", {})
        assert came.wait(60)  # perhaps after that
        assert len(asked) == 1
        client.close()
        over.set()


def test_connections_are_kept_and_one_that_was_closed_meanwhile_is_replaced() -> None:
    ports: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        ports.append(handler.client_address[1])
        reply(handler, 200, b'{"value": 1}')
        # Without a word in the headers, as a server does that has waited for too long.
        handler.close_connection = len(ports) == 2

    with answering(answer) as address:
        client = Client(address, SECRET)
        assert [client.call("/worker/x", {}) for _ in range(4)] == [1, 1, 1, 1]
        assert ports[0] == ports[1] != ports[2] == ports[3]
        client.close()


def test_a_task_that_is_over_is_told_so(address: str, live: tuple[str, str]) -> None:
    gateway = reads.open_gateway(reads.gateway_spec(address, SECRET))
    with pytest.raises(TaskGone):
        gateway.get_xcoms(live[0], "another", query={"dag_id": "d", "run_id": "r", "key": "k"})
    gateway.close()
