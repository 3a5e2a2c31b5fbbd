"""Waking up a loop that waits for descriptors."""

from __future__ import annotations

import contextlib
import os
import threading


class Bell:
    """Rung from any thread; its descriptor is readable from then on until :meth:`hush`."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = threading.Lock()
        self._is_open = True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def ring(self) -> None:
        """Wake the loop; nothing once the bell is closed."""
        with self._closing:
            if self._is_open:
                os.eventfd_write(self._descriptor, 1)

    def hush(self) -> None:
        """Let the loop sleep again until it is rung for."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

    def close(self) -> None:
        """Hear nobody any more."""
        with self._closing:
            self._is_open = False
            os.close(self._descriptor)
