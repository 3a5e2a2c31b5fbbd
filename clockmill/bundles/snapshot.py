"""Taking a snapshot of a folder that people edit meanwhile: two agreeing looks, or none."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clockmill.bundles.look import Look, Signature, look_at, signature_of
from clockmill.bundles.manifest import Bundle, FileEntry
from clockmill.bundles.store import BundleStore
from clockmill.clock import Clock
from clockmill.errors import UsageError

_ATTEMPTS = 20
#: A file that was written so lately may be half-written, so there is this pause before the second look.
_SETTLE = timedelta(milliseconds=40)
#: Two writes within one tick of the file system's clock leave the same times: a younger file is always read again.
_TRUSTED_AGE = timedelta(seconds=2)
_MB = 1 << 20


class FolderBusy(UsageError):
    """A folder changed all the time while it was looked at; try again later."""


class BundleTooLarge(UsageError):
    """A folder is larger than ``[dags] max_bundle_mb``."""


@dataclass(frozen=True)
class Snapshot:
    """A folder as it was at one moment.

    :param problems: what could not be seen, by path.
    :param is_healthy: whether a file that is not in the bundle is really gone.
    """

    bundle: Bundle
    problems: dict[str, str]
    is_healthy: bool


class Snapshotter:
    """Takes snapshots of one folder; a file whose signature did not change is not read again.

    :param max_mb: the largest folder that is taken, MiB.
    """

    def __init__(self, root: Path, store: BundleStore, clock: Clock, *, max_mb: int) -> None:
        self._root = root
        self._store = store
        self._clock = clock
        self._max_bytes = max_mb * _MB
        self._known: dict[str, tuple[Signature, FileEntry]] = {}
        self._last: tuple[Look, Snapshot] | None = None

    def take(self) -> Snapshot:
        """The folder as it is now.

        :raises BundleTooLarge: naming the largest files.
        :raises FolderBusy: when no two looks agreed.
        """
        look = look_at(self._root)
        if self._last is not None and self._last[0] == look and not self._young(look):
            return self._last[1]
        for _ in range(_ATTEMPTS):
            self._refuse_too_large(look)
            read = self._read_changed(look)
            if self._is_settling(look):
                self._clock.sleep(_SETTLE.total_seconds())
            again = look_at(self._root)
            if read is not None and again == look:
                return self._accept(look, *read)
            look = again
        raise FolderBusy(f"The folder {self._root} changes all the time; it is looked at again later.")

    def _accept(self, look: Look, entries: dict[str, FileEntry], unreadable: dict[str, str]) -> Snapshot:
        young = self._young(look)
        self._known = {path: (look.files[path], entry) for path, entry in entries.items() if path not in young}
        bundle = Bundle(entries)
        if self._last is not None and self._last[1].bundle.files == entries:
            bundle = self._last[1].bundle
        snapshot = Snapshot(bundle, {**look.problems, **unreadable}, look.is_healthy and not unreadable)
        self._last = (look, snapshot)
        return snapshot

    def _read_changed(self, look: Look) -> tuple[dict[str, FileEntry], dict[str, str]] | None:
        """An entry for each file, and why others cannot be read; None when a file changed under our hands."""
        entries: dict[str, FileEntry] = {}
        unreadable: dict[str, str] = {}
        for path, signature in look.files.items():
            known = self._known.get(path)
            if known is not None and known[0] == signature:
                entries[path] = known[1]
                continue
            try:
                content = _read_stable(self._root / path, signature)
            except PermissionError as error:
                unreadable[path] = f"{path!r} cannot be read: {error.strerror}."
                continue
            except OSError:
                return None
            if content is None:
                return None
            entries[path] = self._store.add(content, program=bool(signature.mode))
        return entries, unreadable

    def _refuse_too_large(self, look: Look) -> None:
        total = sum(signature.size for signature in look.files.values())
        if total <= self._max_bytes:
            return
        biggest = sorted(look.files, key=lambda path: -look.files[path].size)[:3]
        named = ", ".join(f"{path} ({look.files[path].size / _MB:.1f} MiB)" for path in biggest)
        raise BundleTooLarge(
            f"The folder {self._root} holds {total / _MB:.1f} MiB in {len(look.files)} files; [dags] max_bundle_mb "
            f"allows {self._max_bytes / _MB:.0f}. The largest are {named}. Leave files out with a .clockmillignore "
            "file, or raise the limit."
        )

    def _young(self, look: Look) -> set[str]:
        return self._written_since(look, _TRUSTED_AGE)

    def _is_settling(self, look: Look) -> bool:
        return bool(self._written_since(look, _SETTLE))

    def _written_since(self, look: Look, age: timedelta) -> set[str]:
        limit = _nanoseconds(self._clock.now() - age)
        return {path for path, seen in look.files.items() if max(seen.modified, seen.changed) > limit}


def _nanoseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _read_stable(path: Path, expected: Signature) -> bytes | None:
    """The content of a file that is as it was seen; None when it is not. Never waits for a pipe."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode) or signature_of(before) != expected:
            return None
        content = file.read(expected.size + 1)
        if len(content) != expected.size or signature_of(os.fstat(handle)) != expected:
            return None
        return content
