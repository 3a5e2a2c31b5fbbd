"""The log of the services of one home, which all of them write to."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from clockmill.cli import servicelog


def write(file: logging.Handler, text: str) -> None:
    file.handle(logging.LogRecord("service", logging.INFO, "", 0, text, None, None))


def test_what_one_service_puts_aside_no_other_one_puts_aside_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clockmill.log"
    services = [servicelog._File(path, maxBytes=1001, backupCount=5, encoding="utf-8") for _ in range(4)]
    for each in services:
        write(each, "a" * 249)
    assert len(path.read_text()) == 1000
    for number, each in enumerate(services):
        write(each, f"line {number}")
    assert path.read_text() == "line 0\nline 1\nline 2\nline 3\n"
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["clockmill.log", "clockmill.log.1"]

    path.unlink()
    write(services[1], "after it was deleted")
    assert path.read_text() == "after it was deleted\n"

    monkeypatch.setattr(servicelog._File, "_open", lambda _self: (_ for _ in ()).throw(OSError(28, "no room")))
    path.rename(tmp_path / "moved")
    write(services[1], "without room")
    assert "without room" in (tmp_path / "moved").read_text()
    for each in services:
        each.close()


def test_the_terminal_is_told_what_ended_a_service_in_case_the_file_cannot_take_it() -> None:
    try:
        raise OSError(28, "No space left on device", "/home/run/worker.json")
    except OSError as error:
        caught = (type(error), error, error.__traceback__)
    record = logging.LogRecord("crew", logging.ERROR, "", 0, "a service ended by an error", None, caught)
    told = servicelog._ShortFormatter().format(record)
    assert told.endswith(
        " ERROR crew: a service ended by an error: OSError: [Errno 28] No space left on device: '/home/run/worker.json'"
    )
