"""The door of a worker: who stands there, and whether anybody is to knock now."""

from __future__ import annotations

from collections.abc import Callable


class Door:
    """What a worker tells the one who hears its doorbells. It is told by the thread of its loop."""

    def __init__(self) -> None:
        self._missed: Callable[[], None] = lambda: None
        self._welcome: Callable[[bool], None] = lambda is_welcome: None
        self._is_open = True

    def attend(self, *, missed: Callable[[], None], welcome: Callable[[bool], None]) -> None:
        """Have somebody stand here, before the worker runs; nothing that is called may wait for anything.

        :param missed: called when the worker had a free slot, and found work for which nobody had knocked.
        :param welcome: told when nobody is to knock for a while, and when that is over.
        """
        self._missed, self._welcome = missed, welcome

    def missed(self) -> None:
        """Work was found for which somebody should have knocked."""
        self._missed()

    def open(self, is_open: bool) -> None:
        """Let people knock from now on, or not."""
        if is_open is not self._is_open:
            self._is_open = is_open
            self._welcome(is_open)
