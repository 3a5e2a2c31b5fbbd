"""Locks on the bundles that attempts may read: whoever removes old ones leaves those alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Collection

#: More than these are let go of, when no attempt needs them; processes that wait for another task may still read them.
_MOST = 16


class BundleHolds:
    """A shared lock on the folder of each bundle that was used lately; the kernel lets go of them with this process.

    :param in_use: gives the folders that attempts need.
    """

    def __init__(self, in_use: Callable[[], Collection[str]]) -> None:
        self._in_use = in_use
        self._held: dict[str, int] = {}  # the one used last comes last

    def hold(self, folder: str) -> None:
        """Keep a folder from being removed; one that is not there needs no lock."""
        descriptor = self._held.pop(folder, None)
        if descriptor is None:
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                return
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self._held[folder] = descriptor
        if len(self._held) > _MOST:
            self._let_go()

    def _let_go(self) -> None:
        needed = self._in_use()
        for folder in list(self._held)[:-_MOST]:
            if folder not in needed:
                os.close(self._held.pop(folder))
