"""Threads, signals and failures in one place."""

import os
import signal
import threading
from pathlib import Path

import pytest

from clockmill.cli.crew import Crew
from clockmill.cli.homelock import hold_home
from clockmill.errors import UsageError


def test_a_signal_and_the_end_of_a_service_both_wake_the_main_thread() -> None:
    stop = threading.Event()
    with Crew() as crew:
        crew.start("service", lambda: (stop.wait(), None)[1])

        os.kill(os.getpid(), signal.SIGTERM)
        crew.wait()
        assert (crew.signals, crew.is_working()) == (1, True)

        stop.set()
        while crew.is_working("service"):
            crew.wait()
        crew.raise_failure()
        assert crew.signals == 1


def test_what_ended_a_service_is_raised_in_the_main_thread() -> None:
    def work() -> None:
        raise UsageError("no such thing")

    with Crew() as crew:
        crew.start("service", work)
        while crew.is_working():
            crew.wait()

        with pytest.raises(UsageError, match="no such thing"):
            crew.raise_failure()


def test_signals_do_again_what_they_did_before_once_the_crew_has_left() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Crew():
        assert signal.getsignal(signal.SIGTERM) is not before

    assert signal.getsignal(signal.SIGTERM) is before


def test_a_home_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    lock = tmp_path / "clockmill.lock"
    with hold_home(lock), pytest.raises(UsageError, match=f"in use by process {os.getpid()}"), hold_home(lock):
        pass

    with hold_home(lock):
        assert lock.read_text() == f"{os.getpid()}\n"
