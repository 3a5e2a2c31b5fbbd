"""Calls that may take long, made by a thread that the loop of a worker does not wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

#: Called by the loop with the result, or with what went wrong.
Done = Callable[[Any, Exception | None], None]


class BackgroundCalls:
    """One thread that makes one call after the other; what came of each is told by the thread of the loop.

    :param name: of the thread.
    :param ring: wakes the loop, which then calls :meth:`deliver`.
    """

    def __init__(self, name: str, ring: Callable[[], None]) -> None:
        self._name = name
        self._ring = ring
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Done] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Done, Any, Exception | None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._under_way = 0

    @property
    def is_busy(self) -> bool:
        """Whether something was asked for of which nothing was delivered yet."""
        return self._under_way > 0

    def run(self, work: Callable[[], Any], done: Done) -> None:
        """Have something done; ``done`` is called by a later :meth:`deliver`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        self._under_way += 1
        self._asked.put((work, done))

    def deliver(self) -> None:
        """Tell what came of the calls that are done."""
        while not self._done.empty():
            done, result, error = self._done.get()
            self._under_way -= 1
            done(result, error)

    def close(self) -> None:
        """Let the thread end after what it does now; nobody waits for it."""
        self._asked.put(None)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            work, done = asked
            try:
                result, error = work(), None
            except Exception as caught:  # noqa: BLE001 - whoever asked decides what it means
                result, error = None, caught
            self._done.put((done, result, error))
            self._ring()
