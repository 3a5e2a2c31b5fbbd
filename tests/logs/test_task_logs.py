"""Task logs: where they lie, how they are written, and how they are read while they grow."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clockmill.errors import UsageError
from clockmill.logs import reader
from clockmill.logs.merged import Cursor, file_log
from clockmill.logs.paths import path_for
from clockmill.logs.writer import MAX_LINE_BYTES, LogWriter


class StillClock:
    """A clock that moves only by sleeping, and does ``on_sleep`` each time."""

    def __init__(self, on_sleep=lambda: None) -> None:
        self.moment = datetime(2026, 3, 1, tzinfo=UTC)
        self.on_sleep = on_sleep

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.on_sleep()


STAMP = "2026-03-01T00:00:00.000000+00:00 "


def written(path: Path, *pieces: bytes) -> list[str]:
    log = LogWriter(path, StillClock())
    for piece in pieces:
        log.feed(piece)
    log.close()
    return path.read_text(errors="replace").splitlines()


def test_the_path_names_dag_run_task_index_and_try():
    path = path_for(Path("/logs"), dag_id="d", run_id="manual__2026-01-01T00:00:00+00:00", task_id="g.t", try_number=3)
    assert path == Path("/logs/d/manual__2026-01-01T00:00:00+00:00/g.t/-1/3.log")


@pytest.mark.parametrize("bad", ["..", "../x", "/etc", "a/b", "", ".hidden", "a\0b", "x" * 300, "a/../../b"])
@pytest.mark.parametrize("field", ["dag_id", "run_id", "task_id"])
def test_no_id_leads_out_of_the_log_folder(field, bad):
    ids = {"dag_id": "d", "run_id": "r", "task_id": "t"} | {field: bad}
    with pytest.raises(UsageError):
        path_for(Path("/logs"), **ids)


@given(st.text(max_size=40))
@settings(derandomize=True, max_examples=200)
def test_whatever_the_id_the_path_stays_inside(name):
    try:
        path = path_for(Path("/logs"), dag_id=name, run_id=name, task_id=name)
    except UsageError:
        return
    assert Path(os.path.normpath(path)) == path
    assert len(path.relative_to("/logs").parts) == 5


def test_lines_are_stamped_however_the_pieces_fall(tmp_path):
    assert written(tmp_path / "1.log", b"one\ntw", b"o", b"\nthree\n") == [
        STAMP + text for text in ("one", "two", "three")
    ]


def test_an_unfinished_last_line_is_kept(tmp_path):
    assert written(tmp_path / "1.log", b"no newline") == [STAMP + "no newline"]


def test_empty_lines_are_kept(tmp_path):
    assert written(tmp_path / "1.log", b"a\n\nb\n") == [STAMP + "a", STAMP, STAMP + "b"]


def test_a_line_that_is_too_long_is_broken(tmp_path):
    lines = written(tmp_path / "1.log", b"x" * (3 * MAX_LINE_BYTES + 5), b"y\n")
    assert [len(line) - len(STAMP) for line in lines] == [MAX_LINE_BYTES] * 3 + [6]


@given(st.lists(st.binary(max_size=60), max_size=8))
@settings(derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_byte_of_the_output_is_lost(tmp_path, pieces):
    path = tmp_path / "any.log"
    path.unlink(missing_ok=True)
    log = LogWriter(path, StillClock())
    for piece in pieces:
        log.feed(piece)
    log.close()
    whole = b"".join(pieces)
    stamped = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    bare = b"\n".join(line[len(STAMP) :] for line in stamped)
    assert bare == (whole[:-1] if whole.endswith(b"\n") else whole)


def test_a_second_attempt_of_a_try_appends(tmp_path):
    path = tmp_path / "deep" / "er" / "1.log"
    written(path, b"first\n")
    assert written(path, b"second\n") == [STAMP + "first", STAMP + "second"]


def test_a_note_is_one_line_of_its_own(tmp_path):
    log = LogWriter(tmp_path / "1.log", StillClock())
    log.feed(b"half a line")
    log.note("killed\nby nobody")
    log.close()
    assert (tmp_path / "1.log").read_text().splitlines() == [STAMP + "half a line", STAMP + "*** killed by nobody"]


def test_a_log_takes_so_much_of_a_task_and_says_how_much_more_there_was(tmp_path):
    path, line = tmp_path / "1.log", f"{STAMP}12345\n"
    log = LogWriter(path, StillClock(), most_bytes=3 * len(line))
    log.feed(b"12345\n" * 2)
    log.note("of our own, which counts for nothing")
    log.feed(b"1234\n")  # one byte is left
    assert "limit" not in path.read_text()
    log.feed(b"the line that fills it\n")
    log.feed(b"dropped\n")
    log.feed(b"dropped as well, without an end")
    log.note("ended success")
    log.close()
    assert path.read_text().splitlines()[3:] == [
        STAMP + "1234",
        STAMP + "the line that fills it",
        STAMP + "*** This log has reached its limit of 117 bytes: what the task writes beyond is dropped.",
        STAMP + "*** 39 bytes beyond the limit of this log were dropped.",
        STAMP + "*** ended success",
    ]


def test_a_full_disk_drops_output_and_says_how_much(tmp_path):
    path = tmp_path / "1.log"
    path.symlink_to("/dev/full")
    lost = []
    log = LogWriter(path, StillClock(), on_lost=lambda *told: lost.append(told))
    log.feed(b"lost\n")
    path.unlink()
    log.feed(b"kept\n")
    log.close()
    lines = path.read_text().splitlines()
    assert lines[-1] == STAMP + "kept"
    assert "bytes of this log could not be written" in lines[-2]
    assert [where for where, _ in lost] == [path], "what is kept is no trouble"


def test_a_log_is_read_piece_by_piece_in_whole_lines(tmp_path):
    path = tmp_path / "1.log"
    path.write_text("".join(f"line {number:03d}\n" for number in range(100)))
    pieces, at = [], Cursor()
    while (chunk := reader.read_chunk(file_log(path), at, growing=False, limit=100)).data:
        pieces.append(chunk.data)
        at = chunk.next
    assert chunk.is_end
    assert b"".join(pieces) == path.read_bytes()
    assert all(piece.endswith(b"\n") for piece in pieces)


@pytest.mark.parametrize(("growing", "data"), [(True, b"one\n"), (False, b"one\ntw")])
def test_a_line_without_an_end_is_kept_back_while_somebody_writes(tmp_path, growing, data):
    path = tmp_path / "1.log"
    path.write_bytes(b"one\ntw")
    assert reader.read_chunk(file_log(path), Cursor(), growing=growing).data == data


def test_the_tail_of_a_big_log_begins_with_a_whole_line(tmp_path):
    path = tmp_path / "1.log"
    path.write_text("".join(f"line {number:05d}\n" for number in range(10_000)))
    chunk = reader.read_tail(file_log(path), growing=False, limit=100)
    assert chunk.data.startswith(b"line 09991\n")
    assert chunk.data.endswith(b"line 09999\n")
    assert path.read_bytes()[chunk.offset :] == chunk.data
    assert chunk.next.offset == chunk.size == path.stat().st_size


def test_a_log_that_is_not_there_yet_is_empty(tmp_path):
    log = file_log(tmp_path / "1.log")
    here = Cursor(offset=7)
    assert reader.read_chunk(log, here, growing=True) == reader.Chunk(
        data=b"", offset=0, size=0, next=here, is_end=True
    )
    assert reader.read_tail(log, growing=True).data == b""


def test_following_gives_what_is_added_until_it_is_over(tmp_path):
    path = tmp_path / "1.log"
    additions = iter([b"", b"one\n", b"two\nthr", b"ee\n"])

    def add() -> None:
        with path.open("ab") as file:
            file.write(next(additions))

    remaining = iter([False, False, False, False, True])

    def look(at: Cursor) -> reader.Chunk:
        return reader.read_chunk(file_log(path), at, growing=False)

    pieces = list(reader.follow(look, StillClock(add), lambda: next(remaining)))
    assert b"".join(pieces) == b"one\ntwo\nthree\n"
