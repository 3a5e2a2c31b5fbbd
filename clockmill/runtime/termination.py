"""What a task process does when it is told to stop: its operator cleans up, then the signal does its work."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from clockmill.runtime.failures import print_failure


class Terminated(BaseException):
    """SIGTERM arrived. Not an ``Exception``, so that user code which catches those does not swallow it."""


@contextmanager
def on_term(clean_up: Callable[[], None]) -> Iterator[None]:
    """On SIGTERM call ``clean_up`` and raise :class:`Terminated` where the code stands.

    Outside of the main thread, where Python delivers no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> NoReturn:
        # The second TERM finds the default again, so that a clean-up which hangs can still be ended by it.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            clean_up()
        except Exception as error:  # noqa: BLE001 - the author's on_kill may raise anything; the task stops all the same
            print_failure(error)
        raise Terminated

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise :class:`TimeoutError` in the code inside when it takes longer; only where no supervisor watches.

    Python sees the alarm between two of its own instructions, so code that is stuck in C is not interrupted.

    :param seconds: no limit when None; nor is there one outside of the main thread.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"execution_timeout of {seconds:g} s is over")

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def die_of_term() -> NoReturn:
    """End this process as SIGTERM would have, so that whoever waits for it sees what happened."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(128 + signal.SIGTERM)
