"""The event loop of the supervisor: descriptors in, callbacks out, never a wait in between."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable

from clockmill.host import processes

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

Callback = Callable[[int], object]
#: Seconds; the kernel refuses to wait for more than some days.
_LONGEST_WAIT = 86_400.0


class Loop:
    """One selector and what to call when a descriptor of it is ready."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()

    def watch(self, fileno: int, events: int, callback: Callback) -> None:
        """Call ``callback(ready events)`` whenever the descriptor is ready for one of ``events``."""
        self._selector.register(fileno, events, callback)

    def change(self, fileno: int, events: int) -> None:
        """Wait for other events of a descriptor that is watched already."""
        key = self._selector.get_key(fileno)
        if key.events != events:
            self._selector.modify(fileno, events, key.data)

    def rebind(self, fileno: int, callback: Callback) -> None:
        """Call another callback for a descriptor that is watched already."""
        key = self._selector.get_key(fileno)
        self._selector.modify(fileno, key.events, callback)

    def forget(self, fileno: int) -> None:
        """Watch it no more; call this before the descriptor is closed."""
        self._selector.unregister(fileno)

    def turn(self, timeout: float | None) -> None:
        """Wait at most ``timeout`` seconds, then serve every descriptor that is ready, each once."""
        watched = self._selector.get_map()
        for key, ready in self._selector.select(timeout and min(timeout, _LONGEST_WAIT)):
            if watched.get(key.fd) is key:  # an earlier callback of this turn may have closed it
                key.data(ready)

    def close(self) -> None:
        """Close the selector."""
        self._selector.close()


def wake_on_signals(loop: Loop, callback: Callback, *numbers: int) -> None:
    """Call ``callback`` soon after one of these signals arrived; several may make one call."""
    reader = processes.wake_on_signals(*numbers)

    def drain(ready: int) -> None:
        os.read(reader, 4096)
        callback(ready)

    loop.watch(reader, READ, drain)


class Outbox:
    """Bytes on their way into a non-blocking socket.

    Writes at once what fits, keeps the rest, and asks the loop to say when there is room again.

    :param base: the events that the socket is watched for when nothing waits.
    """

    def __init__(self, loop: Loop, fileno: int, base: int = READ) -> None:
        self._loop = loop
        self._fileno = fileno
        self._base = base
        self._waiting = bytearray()

    def put(self, data: bytes) -> None:
        """Send ``data`` after all that was put before.

        :raises OSError: when the other side is gone.
        """
        idle = not self._waiting
        self._waiting += data
        if idle:
            self.flush()

    def flush(self) -> None:
        """Send what fits now.

        :raises OSError: when the other side is gone.
        """
        try:
            while self._waiting:
                sent = os.write(self._fileno, memoryview(self._waiting)[: 1 << 18].tobytes())
                del self._waiting[:sent]
        except BlockingIOError:
            pass
        self._loop.change(self._fileno, self._base | WRITE if self._waiting else self._base)
