"""A way to a server that can go silent, so that nobody is told and nothing comes through, or be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(eq=False)
class _Way:
    """One connection: from a client to us, and from us to the server."""

    near: socket.socket
    far: socket.socket
    is_silent: bool = False
    _ended: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.is_silent:
                    sink.sendall(data)
            if not self.is_silent:
                sink.shutdown(socket.SHUT_WR)
        with self._lock:
            self._ended += 1
            if self._ended == 2:
                self.near.close()
                self.far.close()

    def cut(self) -> None:
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Hands on what it is told, until :meth:`stall`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._ways: list[_Way] = []
        self.port = 0
        self._open()

    def stall(self) -> int:
        """Let the present connections go silent while both ends keep them open; returns how many."""
        loud = [way for way in self._ways if not way.is_silent]
        for way in loud:
            way.is_silent = True
        return len(loud)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Cut everything, and take nobody meanwhile."""
        self.close()
        yield
        self._open()

    def close(self) -> None:
        """Cut everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for way in self._ways:
            way.cut()
        self._ways.clear()

    def _open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                way = _Way(near, socket.create_connection(("127.0.0.1", self._target)))
                self._ways.append(way)
                for ends in ((way.near, way.far), (way.far, way.near)):
                    threading.Thread(target=way.hand_on, args=ends, daemon=True).start()
