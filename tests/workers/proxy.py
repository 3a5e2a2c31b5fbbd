"""A way to a server that can go silent, so that nobody is told and nothing comes through, or be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Proxy:
    """Hands on what it is told, until :meth:`stall`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent: set[socket.socket] = set()
        self.port = 0
        self._open()

    def stall(self) -> int:
        """Let the present connections go silent while both ends keep them open; returns how many."""
        silent = [end for pair in self._pairs for end in pair if end not in self._silent]
        self._silent.update(silent)
        return len(silent) // 2

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Cut everything, and take nobody meanwhile."""
        self.close()
        yield
        self._open()

    def close(self) -> None:
        """Cut everything."""
        for end in (self._listener, *(end for pair in self._pairs for end in pair)):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._pairs.clear()

    def _open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((near, far))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._hand_on, args=(source, sink), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source not in self._silent:
                    sink.sendall(data)
            if source not in self._silent:
                sink.shutdown(socket.SHUT_WR)
