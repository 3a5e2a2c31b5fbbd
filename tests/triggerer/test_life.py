"""Who is alive: a lock on this host, a beat elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clockmill.host.processes import new_instance
from clockmill.triggerer.life import SILENCE, Beats, LifeFile

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_lock_is_free_exactly_when_its_process_is_gone(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from clockmill.triggerer.life import LifeFile
life = LifeFile(Path({str(tmp_path)!r}), "a").hold()
print("held", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert LifeFile(tmp_path, "a").is_dead() is False
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert LifeFile(tmp_path, "a").is_dead() is True
    LifeFile(tmp_path, "a").remove()
    assert LifeFile(tmp_path, "a").is_dead() is None, "of another home, nothing is known here"


def test_silence_is_counted_on_the_clock_of_who_listens_from_the_beat_seen_last() -> None:
    beats = Beats()
    assert beats.silent({"far": NOON}, 100.0) == set()
    assert beats.silent({"far": NOON}, 100.0 + SILENCE - 0.001) == set()
    assert beats.silent({"far": NOON}, 100.0 + SILENCE) == {"far"}
    assert beats.silent({"far": NOON + timedelta(seconds=1)}, 100.0 + SILENCE) == set()


def test_a_beat_that_goes_backwards_is_a_beat() -> None:
    beats = Beats()
    beats.silent({"far": NOON}, 0.0)
    assert beats.silent({"far": NOON - timedelta(hours=1)}, SILENCE) == set()


def test_a_reading_that_failed_begins_the_count_anew() -> None:
    beats = Beats()
    beats.silent({"far": NOON}, 0.0)
    beats.forget()
    assert beats.silent({"far": NOON}, SILENCE) == set()
    assert beats.silent({"far": NOON}, 2 * SILENCE) == {"far"}


def test_names_tell_processes_apart_and_fit_their_column(monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_instance() != new_instance()
    assert f":{os.getpid()}:" in new_instance()
    monkeypatch.setattr("clockmill.host.processes.host_name", lambda: "h" * 80)
    assert len(new_instance()) == 64
