"""Logs in a store of objects: a real S3 server, a folder, and memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from clockmill.errors import ConfigError
from clockmill.logs.carriers import StoreCarrier
from clockmill.logs.store import LogStore, LogsUnavailable
from clockmill.logs.tasklogs import TaskLogs
from clockmill.testing.servers import S3Server, s3_server
from tests.shipping import KEY, Worker, kept, text

HOSTILE_KEY = "d/manual__2026-01-01T00:00:00+00:00/a::b~c.d-e/-1/12"


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.store)])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], LogStore]:
    """Opens a store that is empty at first."""
    if request.param == "memory":
        return lambda: LogStore(f"memory://{tmp_path}")
    if request.param == "file":
        (tmp_path / "mounted").mkdir()
        return lambda: LogStore(f"file://{tmp_path}/mounted")
    server: S3Server = request.getfixturevalue("s3")
    server.wipe()
    server.make_bucket("logs")
    return lambda: LogStore("s3://logs/of the/team #1", server.options())


@pytest.fixture
def store(open_store: Callable[[], LogStore]) -> LogStore:
    return open_store()


@pytest.fixture
def sender(tmp_path: Path, store: LogStore) -> Worker:
    """A worker that sends to the store."""
    return Worker(tmp_path / "spool", lambda: StoreCarrier(store))


@pytest.fixture
def far_reader(tmp_path: Path, open_store: Callable[[], LogStore]) -> TaskLogs:
    """Somebody on another machine."""
    return TaskLogs(tmp_path / "elsewhere", open_store(), limit=60)


@pytest.mark.parametrize("key", [KEY, HOSTILE_KEY, "d/r/callbacks/7"])
def test_a_log_is_pieces_while_it_grows_and_one_object_at_its_end(
    sender: Worker, far_reader: TaskLogs, store: LogStore, key: str
) -> None:
    sender.begin("a1", key)
    written = b""
    for number in range(12):
        line = b"line %d\n" % number
        sender.write("a1", line)
        written += line
        sender.pass_time(10)
    found = far_reader.find(far_reader.folder / f"{key}.log")
    assert 4 <= len(found.segments) <= 8, "less and less often"
    sender.pass_time(30)
    assert text(far_reader, key) == written
    assert not kept(far_reader, "a1", key=key)
    sender.write("a1", b"the end\n")
    sender.end("a1")
    sender.pass_time(2)
    assert text(far_reader, key) == written + b"the end\n"
    assert kept(far_reader, "a1", key=key)
    assert len(far_reader.find(far_reader.folder / f"{key}.log").segments) == 1
    assert list(store._listed(store._path(key))) == ["a1.log"]
    assert list(sender.folder.iterdir()) == []


def test_the_attempts_of_one_try_are_read_in_order_wherever_they_ran(
    tmp_path: Path, store: LogStore, far_reader: TaskLogs
) -> None:
    first = Worker(tmp_path / "one", lambda: StoreCarrier(store))
    second = Worker(tmp_path / "two", lambda: StoreCarrier(store))
    first.begin("a1")
    first.write("a1", b"deferred\n")
    first.pass_time(3)
    first.write("a1", b"and sent late\n")
    first.end("a1")
    second.run("a2", b"resumed\n")
    second.pass_time(3)
    assert text(far_reader) == b"deferred\nresumed\n"
    assert not kept(far_reader, "a1", "a2")
    first.pass_time(3)
    assert text(far_reader) == b"deferred\nand sent late\nresumed\n"
    assert kept(far_reader, "a1", "a2")


def test_pieces_that_were_sent_again_are_read_once(sender: Worker, far_reader: TaskLogs) -> None:
    sender.begin("a1")
    for _ in range(3):
        sender.write("a1", b"0123456789\n")
        sender.pass_time(30)
    sender.begin_again(holding=("a1",))
    sender.write("a1", b"more\n")
    sender.pass_time(30)
    assert text(far_reader) == 3 * b"0123456789\n" + b"more\n"
    assert not kept(far_reader, "a1")
    sender.end("a1")
    sender.pass_time(3)
    assert text(far_reader) == 3 * b"0123456789\n" + b"more\n"
    assert len(far_reader.find(far_reader.folder / f"{KEY}.log").segments) == 1


def test_many_small_parts_are_read_together(sender: Worker, far_reader: TaskLogs) -> None:
    for number in range(40):
        sender.run(f"a{number:02d}", b"look %d\n" % number)
    sender.pass_time(3)
    assert text(far_reader) == b"".join(b"look %d\n" % number for number in range(40))
    chunk = far_reader.tail(far_reader.folder / f"{KEY}.log", growing=False)[1]
    assert chunk.data.endswith(b"look 39\n")
    assert str(chunk.next) == "a39:8"


def test_a_log_that_is_not_there_is_empty(far_reader: TaskLogs) -> None:
    assert text(far_reader) == b""
    assert not kept(far_reader, "a1")


def test_a_folder_that_is_not_mounted_is_no_empty_log(tmp_path: Path) -> None:
    reader = TaskLogs(tmp_path / "here", LogStore(f"file://{tmp_path}/mounted"))
    with pytest.raises(LogsUnavailable, match=f"cannot be read: there is no folder {tmp_path}/mounted"):
        text(reader)


def test_where_the_file_of_the_try_is_here_nobody_asks_the_store(tmp_path: Path) -> None:
    gone = LogStore("file:///dev/null/nowhere")
    reader = TaskLogs(tmp_path, gone)
    path = tmp_path / f"{KEY}.log"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"here\n")
    assert text(reader) == b"here\n"
    assert kept(reader, "a1")


@pytest.mark.store
@pytest.mark.fault
def test_a_store_that_dies_with_all_it_had_gets_every_log_in_the_end(tmp_path: Path) -> None:
    with s3_server() as server:
        server.make_bucket("logs")
        store = LogStore("s3://logs", server.options())
        sender = Worker(tmp_path / "spool", lambda: StoreCarrier(store))
        reader = TaskLogs(tmp_path / "elsewhere", LogStore("s3://logs", server.options()), limit=60)
        sender.begin("a1")
        sender.write("a1", b"one\n")
        sender.pass_time(3)
        assert text(reader) == b"one\n"
        server.kill()
        sender.write("a1", b"two\n")
        sender.run("a2", b"short\n")
        sender.pass_time(20)
        with pytest.raises(LogsUnavailable, match="The logs in s3://logs cannot be read: Could not connect"):
            text(reader)
        server.start()
        sender.pass_time(30)
        with pytest.raises(LogsUnavailable, match="bucket does not exist"):
            text(reader)
        server.make_bucket("logs")
        sender.write("a1", b"three\n")
        sender.end("a1")
        sender.pass_time(120)
        assert text(reader) == b"one\ntwo\nthree\nshort\n"
        assert kept(reader, "a1", "a2")
        assert list(sender.folder.iterdir()) == []


@pytest.mark.store
@pytest.mark.fault
def test_a_reader_never_waits_long_for_a_store_that_hangs(tmp_path: Path) -> None:
    with s3_server() as server:
        server.make_bucket("logs")
        reader = TaskLogs(tmp_path, LogStore("s3://logs", server.options()), limit=0.05)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            for _ in range(4):
                with pytest.raises(LogsUnavailable, match=r"s3://logs cannot be read now: no answer within 0\.05 s"):
                    text(reader)
            with pytest.raises(LogsUnavailable, match="earlier calls to it hang"):
                text(reader)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        patient = TaskLogs(tmp_path, LogStore("s3://logs", server.options()), limit=60)
        assert text(patient) == b""


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("s33://bucket", "", "there is no kind of store 's33'. Did you mean 's3'?"),
        ("dropbox://folder", "", "which cannot be used: .*dropbox"),
        ("zip://bucket", '{"depth": 1}', "zip://bucket, which cannot be used"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_in_one_sentence(url: str, options: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LogStore(url, options)
