"""What tasks write on a worker, on its way to where it is kept: live, complete, and exactly once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.errors import UsageError
from clockmill.logs import shipping
from clockmill.logs.carriers import ApiCarrier
from clockmill.logs.tasklogs import TaskLogs
from tests.shipping import KEY, Receiver, Worker, kept, text


def test_what_a_task_writes_is_there_while_it_runs_and_complete_at_its_end(worker: Worker, reader: TaskLogs) -> None:
    worker.begin("a1")
    worker.write("a1", b"one\ntw")
    worker.pass_time(1.1)
    assert text(reader, growing=True) == b"one\n"
    worker.write("a1", b"o\n")
    worker.pass_time(1.1)
    assert text(reader) == b"one\ntwo\n"
    assert not kept(reader, "a1")
    worker.write("a1", b"three\n")
    worker.end("a1")
    worker.pass_time(1.1)
    assert text(reader) == b"one\ntwo\nthree\n"
    assert kept(reader, "a1")
    assert list(worker.folder.iterdir()) == []


def test_many_short_attempts_go_in_one_call(worker: Worker, receiver: Receiver) -> None:
    for number in range(20):
        worker.run(f"a{number}", b"line\n")
    worker.pass_time(1.1)
    assert [len(call) for call in receiver.calls] == [20]


def test_an_attempt_that_wrote_nothing_has_an_empty_log(worker: Worker, reader: TaskLogs) -> None:
    worker.begin("a1")
    worker.end("a1")
    worker.pass_time(1.1)
    assert kept(reader, "a1")
    assert text(reader) == b""


@pytest.mark.parametrize("fails", ["unreachable", "unheard"])
def test_an_outage_loses_nothing_and_doubles_nothing(
    worker: Worker, receiver: Receiver, reader: TaskLogs, fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker.begin("a1")
    worker.write("a1", b"before\n")
    worker.pass_time(1.1)
    receiver.fails = fails
    for number in range(30):
        worker.write("a1", b"during %d\n" % number)
        worker.pass_time(10)
    worker.run("a2", b"short\n")
    worker.end("a1")
    worker.pass_time(100)
    assert len(receiver.calls) < 40, "it asks less and less often"
    receiver.fails = ""
    worker.pass_time(120)
    during = b"".join(b"during %d\n" % number for number in range(30))
    assert text(reader) == b"before\n" + during + b"short\n"
    assert kept(reader, "a1", "a2")
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == [told[0], "the logs of tasks can be sent again"]


def test_a_worker_that_begins_again_sends_what_the_one_before_left(worker: Worker, reader: TaskLogs) -> None:
    worker.begin("a1")
    worker.write("a1", b"sent\n")
    worker.pass_time(1.1)
    worker.write("a1", b"not sent\n")
    worker.begin("a2")
    worker.write("a2", b"runs on\n")
    worker.begin_again(holding=("a2",))
    worker.pass_time(3)
    assert text(reader) == b"sent\nnot sent\nruns on\n"
    assert kept(reader, "a1")
    assert not kept(reader, "a2")
    worker.write("a2", b"to its end\n")
    worker.end("a2")
    worker.pass_time(3)
    assert text(reader) == b"sent\nnot sent\nruns on\nto its end\n"
    assert kept(reader, "a1", "a2")
    assert list(worker.folder.iterdir()) == []


def test_where_the_other_side_lost_its_file_all_is_sent_again(worker: Worker, reader: TaskLogs, logs: Path) -> None:
    worker.begin("a1")
    worker.write("a1", b"one\n")
    worker.pass_time(1.1)
    (logs / KEY / "a1.part").unlink()
    worker.write("a1", b"two\n")
    worker.pass_time(3)
    assert text(reader) == b"one\ntwo\n"


def test_a_log_that_nobody_wants_is_thrown_away(worker: Worker, receiver: Receiver, reader: TaskLogs) -> None:
    receiver.unwanted = {"a1", "a2"}
    worker.begin("a2")
    worker.run("a1", b"of a run that was deleted\n")
    worker.write("a2", b"the same\n")
    worker.pass_time(5)
    asked = len(receiver.calls)
    worker.pass_time(60)
    assert len(receiver.calls) == asked
    worker.end("a2")
    worker.pass_time(5)
    assert text(reader) == b""
    assert list(worker.folder.iterdir()) == []


def test_what_cannot_be_sent_holds_up_nothing_else(worker: Worker, receiver: Receiver, reader: TaskLogs) -> None:
    receiver.poison = {"a2"}
    for number in range(5):
        worker.run(f"a{number}", b"%d\n" % number)
    worker.pass_time(60)
    assert text(reader) == b"0\n1\n3\n4\n"
    receiver.poison = set()
    worker.pass_time(120)
    assert text(reader) == b"0\n1\n2\n3\n4\n"


def test_a_long_log_goes_in_pieces_and_few_are_held_in_memory(
    worker: Worker, receiver: Receiver, reader: TaskLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "MOST_WAITING", 3)
    receiver.fails = "unreachable"
    for number in range(10):
        worker.run(f"a{number}", b"x" * ApiCarrier.most_bytes + b"\n")
    worker.pass_time(60)
    receiver.fails = ""
    worker.pass_time(120)
    assert text(reader) == 10 * (b"x" * ApiCarrier.most_bytes + b"\n")
    assert max(sum(len(piece.data) for piece in call) for call in receiver.calls) <= 3 * ApiCarrier.most_bytes
    assert list(worker.folder.iterdir()) == []


def test_a_worker_that_leaves_sends_the_rest_first(worker: Worker, reader: TaskLogs) -> None:
    worker.shipper.start()
    worker.run("a1", b"to the end\n")
    assert worker.shipper.leave(60) == 0
    assert text(reader) == b"to the end\n"
    assert kept(reader, "a1")


def test_a_worker_that_leaves_says_what_it_could_not_send(
    worker: Worker, receiver: Receiver, reader: TaskLogs, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.fails = "unreachable"
    worker.run("a1", b"one\n")
    worker.begin("a2")
    worker.write("a2", b"two\n")
    worker.shipper.start()
    assert worker.shipper.leave(0) == 2
    assert f"the logs of 2 attempts are not sent: they are in {worker.folder}" in caplog.text
    receiver.fails = ""
    worker.begin_again()
    worker.pass_time(3)
    assert text(reader) == b"one\ntwo\n"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 400)),
        st.tuples(st.just("wait"), st.floats(0.1, 40)),
        st.tuples(st.just("fail"), st.sampled_from(["", "unreachable", "unheard"])),
        st.tuples(st.just("crash"), st.none()),
        st.tuples(st.just("lose"), st.none()),
    ),
    max_size=25,
)


@given(STEPS)
@settings(derandomize=True, max_examples=60, deadline=None)
def test_whatever_happens_meanwhile_the_log_is_complete_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    receiver = Receiver(folder / "logs")
    carrier = ApiCarrier(lambda: receiver)  # type: ignore[arg-type,return-value]
    carrier.most_bytes = 150
    worker = Worker(folder / "spool", lambda: carrier)
    reader = TaskLogs(folder / "logs", is_sent=True)
    worker.begin("a1")
    written, seen = b"", b""
    for number, (step, how) in enumerate(steps):
        match step:
            case "write":
                written += bytes([97 + number % 26]) * int(str(how)) + b"\n"
                worker.write("a1", written[worker.files["a1"].stat().st_size if worker.files["a1"].exists() else 0 :])
            case "wait":
                worker.pass_time(float(str(how)))
            case "fail":
                receiver.fails = str(how)
            case "crash":
                worker.begin_again(holding=("a1",))
            case "lose":
                for part in (folder / "logs").rglob("*.part"):
                    part.unlink()
                seen = b""
        now = text(reader)
        assert written.startswith(now)
        assert now.startswith(seen)
        seen = now
    receiver.fails = ""
    worker.end("a1")
    worker.pass_time(200)
    assert text(reader) == written
    assert kept(reader, "a1")


@pytest.mark.parametrize(
    ("ident", "key"), [("../../x", KEY), ("a/b", KEY), ("", KEY), ("a1", "/etc/passwd"), ("a1", "d/../../x")]
)
def test_no_offer_has_a_worker_write_outside_of_its_folder(worker: Worker, ident: str, key: str) -> None:
    with pytest.raises(UsageError):
        worker.begin(ident, key)
    assert list(worker.folder.iterdir()) == []
