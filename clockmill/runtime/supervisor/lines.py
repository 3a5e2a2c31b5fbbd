"""What comes from a task process: its output, which goes into the log, and what it says on its socket."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from clockmill.host.wire import Message
from clockmill.runtime.supervisor.attempt import Attempt
from clockmill.runtime.supervisor.loop import READ, WRITE, Loop

_READ_BYTES = 1 << 16
#: So many pieces hold more than any pipe does: what comes after them was written meanwhile.
_MOST_PIECES = 64

#: Called with an attempt and what its process says.
Heard = Callable[[Attempt, Message], None]


class Lines:
    """The lines to the processes of all attempts.

    :param on_message: its process said something; it raises what a message that makes no sense makes it raise.
    :param on_nonsense: its process said what makes no sense, and why; it is not listened to any more.
    """

    def __init__(self, loop: Loop, *, on_message: Heard, on_nonsense: Callable[[Attempt, str], None]) -> None:
        self._loop = loop
        self._on_message = on_message
        self._on_nonsense = on_nonsense
        self._unwritten: set[Attempt] = set()

    def open(self, attempt: Attempt, *, is_new: bool) -> None:
        """Listen to the process of an attempt; one that is not new was listened to for another attempt before."""
        watch = self._loop.rebind if not is_new else self._watch
        watch(attempt.control, lambda ready: self._serve_control(attempt, ready))
        self._watch(attempt.output, lambda ready: self._serve_output(attempt))

    def write(self) -> None:
        """Write what came since the last call into the logs: once, however many pieces it came in."""
        while self._unwritten:
            self._unwritten.pop().log.flush()

    def drain(self, attempt: Attempt) -> None:
        """Take in all that a process left that is gone, and close its lines."""
        while self._serve_control(attempt, READ):
            pass
        while self._serve_output(attempt):
            pass
        self.hang_up(attempt)
        if attempt.output >= 0:
            attempt.output = self._close(attempt.output)

    def complete(self, attempt: Attempt) -> bool:
        """Take in the output of a process that says that it has closed it; whether that is true."""
        for _ in range(_MOST_PIECES):
            if not self._serve_output(attempt):
                break
        return attempt.output < 0

    def hang_up(self, attempt: Attempt) -> None:
        """Listen to the process no more; one that waits for something to do ends."""
        if attempt.control >= 0:
            attempt.control = self._close(attempt.control)

    def _watch(self, descriptor: int, callback: Callable[[int], object]) -> None:
        self._loop.watch(descriptor, READ, callback)

    def _close(self, descriptor: int) -> int:
        self._loop.forget(descriptor)
        os.close(descriptor)
        return -1

    def _serve_output(self, attempt: Attempt) -> bool:
        """Take in one piece of output; False when there is none now."""
        if attempt.output < 0:
            return False
        try:
            data = os.read(attempt.output, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            attempt.log.feed(data, at_once=False)
            self._unwritten.add(attempt)
            return True
        attempt.output = self._close(attempt.output)
        return False

    def _serve_control(self, attempt: Attempt, ready: int) -> bool:
        """Serve one piece of what the process says; False when there is none now."""
        if attempt.control < 0:
            return False
        if ready & WRITE:
            with contextlib.suppress(OSError):  # it is gone; what it said before is still to be read
                attempt.outbox.flush()
        if not ready & READ:
            return False
        try:
            data = os.read(attempt.control, _READ_BYTES)
        except BlockingIOError:
            return False
        except ConnectionResetError:  # it died before it read all that we said, which is no fault of its own
            data = b""
        if not data or not self._understand(attempt, data):
            self.hang_up(attempt)
            return False
        return True

    def _understand(self, attempt: Attempt, data: bytes) -> bool:
        try:
            for message in attempt.reader.feed(data):
                if attempt.control >= 0:  # else it has said its last word already
                    self._on_message(attempt, message)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            self._on_nonsense(attempt, str(error))
            return False
        return True
