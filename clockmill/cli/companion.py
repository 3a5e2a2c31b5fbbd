"""A service that ``standalone`` runs as a process of its own, because it runs code of authors all the time."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path

from clockmill.clock import Clock

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
#: One that ran for so many seconds had begun well; the next pause is short again.
_GOOD_SECONDS = 60.0
_GRACE_SECONDS = 15.0


class Companion:
    """One ``clockmill`` command, started again whenever it dies.

    It is killed when the thread of :meth:`run` ends, however that comes, so it never outlives this process. Loading
    takes it longer than anything else, so it begins to load at once, and to work when :meth:`release` says so.

    :param arguments: of the command.
    """

    def __init__(self, home: Path, clock: Clock, *arguments: str) -> None:
        self._arguments = arguments
        self._environment = {**os.environ, "CLOCKMILL_HOME": str(home)}
        self._clock = clock
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_released = False
        self._is_stopped = threading.Event()
        self._bell, self._rope = socket.socketpair()

    def release(self) -> None:
        """Let it work: what it needs is there."""
        with self._lock:
            self._is_released = True
            if self._process is not None:
                _let_go(self._process)

    def stop(self) -> None:
        """Let :meth:`run` end the process and return."""
        self._is_stopped.set()
        self._rope.send(b".")

    def run(self) -> None:
        """Keep the process running until :meth:`stop`."""
        pause = _FIRST_PAUSE
        while not self._is_stopped.is_set():
            begun = self._clock.monotonic()
            code = self._attend(self._start())
            if self._is_stopped.is_set():
                return
            seconds = self._clock.monotonic() - begun
            pause = _FIRST_PAUSE if seconds >= _GOOD_SECONDS else min(2 * pause, _LONGEST_PAUSE)
            log.error("%s ended with status %d, it is started again", self._arguments[0], code)
            self._is_stopped.wait(pause)

    def _start(self) -> subprocess.Popen[bytes]:
        # In a process group of its own, so that Ctrl-C at the terminal comes to standalone alone.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "clockmill", *self._arguments, "--parent", str(os.getpid())],
            stdin=subprocess.PIPE,
            env=self._environment,
            process_group=0,
        )
        with self._lock:
            self._process = process
            if self._is_released:
                _let_go(process)
        return process

    def _attend(self, process: subprocess.Popen[bytes]) -> int:
        handle = os.pidfd_open(process.pid)
        try:
            select.select([handle, self._bell.fileno()], [], [])
        finally:
            os.close(handle)
        if self._is_stopped.is_set():
            process.terminate()
            try:
                return process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()


def _let_go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it is gone already
        process.stdin.write(b"\n")
        process.stdin.close()
