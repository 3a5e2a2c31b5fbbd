"""Being told that something changed in a folder, by the kernel where it can."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event as Flag

from watchfiles import Change, watch

log = logging.getLogger(__name__)

#: Milliseconds: changes are told when there was none for one step, at the latest after the debounce time.
_STEP, _DEBOUNCE = 50, 200
_PAUSE = 1000
_NOISE = frozenset({".git", "__pycache__"})


class Watcher:
    """Watches folders, those also that appear later or are replaced as a whole.

    :param stop_event: ends it.
    """

    def __init__(self, roots: Sequence[Path], stop_event: Flag) -> None:
        self._roots = roots
        self._stop = stop_event
        self._has_warned = False
        #: whether every folder is being watched, so that looking through them is a mere precaution
        self.is_up = False

    def changes(self) -> Iterator[bool]:
        """True when something changed, and False at least every second; the first answer comes at once."""
        yield True
        while not self._stop.is_set():
            seen = self._identities()
            try:
                yield from self._watch([root for root in self._roots if root.is_dir()], seen)
            except (OSError, RuntimeError) as error:
                self._warn(error)
            self.is_up = False
            if not self._stop.is_set():
                yield self._identities() != seen
                self._stop.wait(_PAUSE / 1000)

    def _watch(self, roots: list[Path], seen: list[object]) -> Iterator[bool]:
        if not roots:
            return
        found = watch(
            *roots,
            watch_filter=_is_relevant,
            step=_STEP,
            debounce=_DEBOUNCE,
            rust_timeout=_PAUSE,
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
        )
        is_new = True  # and nobody was told of what came before it
        for changes in found:
            self.is_up = len(roots) == len(self._roots)
            yield bool(changes) or is_new
            is_new = False
            if self._identities() != seen:
                return  # a folder appeared, or a link leads elsewhere now: watch what is there

    def _identities(self) -> list[object]:
        """What the folders are, so that a new one under the same name is told from the old one."""
        found: list[object] = []
        for root in self._roots:
            try:
                status = root.stat()
                found.append((status.st_dev, status.st_ino))
            except OSError:
                found.append(None)
        return found

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning("the DAG folder cannot be watched and is looked through instead", extra={"reason": str(error)})


def _is_relevant(_change: Change, path: str) -> bool:
    return _NOISE.isdisjoint(path.split("/"))
