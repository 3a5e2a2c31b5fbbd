"""The supervisor's side of its socket: one scheduler controls it at a time.

It stays with the one that it has for as long as that one is heard of, so that several schedulers of one host do not
take each other's work. When that one is gone or silent, the next one that says hello has it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from clockmill.clock import Clock
from clockmill.host.wire import FrameReader, Message, encode
from clockmill.runtime.supervisor.loop import READ, WRITE, Loop, Outbox

_READ_BYTES = 1 << 18
#: A scheduler says something every few seconds; one that was silent for so long, in seconds, hangs.
SILENCE_SECONDS = 30.0


class _Caller:
    """One connection, in control or not."""

    def __init__(self, loop: Loop, link: socket.socket) -> None:
        self.link = link
        self.reader = FrameReader()
        self.outbox = Outbox(loop, link.fileno())


class ControlServer:
    """Accepts schedulers, obeys one of them.

    :param listener: a listening socket, non-blocking.
    :param on_hello: called when somebody new is in control; it may :meth:`send`.
    :param on_message: called with each message of the one in control.
    :param on_silence: called when nobody is in control any more.
    """

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        *,
        on_hello: Callable[[], None],
        on_message: Callable[[Message], None],
        on_silence: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._heard_at = clock.monotonic()
        self._listener = listener
        self._on_hello = on_hello
        self._on_message = on_message
        self._on_silence = on_silence
        self._callers: dict[int, _Caller] = {}
        self._controller: _Caller | None = None
        self._epoch = -1
        self._pending: list[Message] = []
        loop.watch(listener.fileno(), READ, self._accept)

    @property
    def is_controlled(self) -> bool:
        """Whether a scheduler is connected and in control."""
        return self._controller is not None

    def send(self, message: Message) -> None:
        """Tell the controller, with the next :meth:`flush`; nothing happens while there is none."""
        if self._controller is not None:
            self._pending.append(message)

    def flush(self) -> None:
        """Send all that waits, in one write."""
        if self._pending and self._controller is not None:
            data = encode(self._pending)
            self._pending.clear()
            self._put(self._controller, data)

    def close(self) -> None:
        """Close the listening socket and every connection, in this order: nobody who is dropped comes back."""
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        for caller in list(self._callers.values()):
            self._drop(caller)

    def _accept(self, ready: int) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            link, _ = self._listener.accept()
            link.setblocking(False)
            self._loop.watch(link.fileno(), READ, lambda ready: self._serve(caller, ready))
            caller = _Caller(self._loop, link)
            self._callers[link.fileno()] = caller

    def _serve(self, caller: _Caller, ready: int) -> None:
        try:
            if ready & WRITE:
                caller.outbox.flush()
            data = caller.link.recv(_READ_BYTES) if ready & READ else None
            messages = caller.reader.feed(data) if data else []
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._drop(caller)
            return
        for message in messages:
            self._heard(caller, message)
        if data == b"":
            self._drop(caller)

    def _heard(self, caller: _Caller, message: Message) -> None:
        if message["op"] == "hello":
            self._hello(caller, message["epoch"])
        elif caller is self._controller:
            self._heard_at = self._clock.monotonic()
            self._on_message(message)

    def _hello(self, caller: _Caller, epoch: int) -> None:
        if self._controller is not None and not self._may_follow(epoch):
            self._put(caller, encode([{"op": "refused", "epoch": self._epoch}]))
            return
        self._heard_at = self._clock.monotonic()
        before, self._controller, self._epoch = self._controller, caller, epoch
        self._pending.clear()
        if before is not None and before is not caller:
            self._put(before, encode([{"op": "refused", "epoch": epoch}]))
            self._drop(before)
        self._on_hello()

    def _may_follow(self, epoch: int) -> bool:
        return epoch > self._epoch and self._clock.monotonic() - self._heard_at > SILENCE_SECONDS

    def _put(self, caller: _Caller, data: bytes) -> None:
        try:
            caller.outbox.put(data)
        except OSError:
            self._drop(caller)

    def _drop(self, caller: _Caller) -> None:
        if self._callers.pop(caller.link.fileno(), None) is None:
            return
        self._loop.forget(caller.link.fileno())
        caller.link.close()
        if caller is self._controller:
            self._controller = None
            self._pending.clear()
            self._on_silence()
