"""Bundles on this host: each content once, and read-only copies of whole bundles made of hard links to it.

``<folder>/objects/AB/SHA256`` is a content, ``SHA256.x`` the same as a program: hard links share their mode.
``<folder>/HASH/`` is a materialised bundle. Both appear by rename, complete or not at all, so that any number of
processes may do the same at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from clockmill.bundles.manifest import PLAIN_MODE, PROGRAM_MODE, Bundle, FileEntry
from clockmill.errors import UsageError

#: Contents by hash, from wherever else they are kept; hashes that are not there are left out.
Fetch = Callable[[Iterable[str]], Mapping[str, bytes]]

_READ_ONLY, _READ_ONLY_PROGRAM = 0o444, 0o555
_FETCH_AT_ONCE = 50
HASH_LENGTH = 64
#: The folder of notes on what workers have fetched.
FETCHED = "fetched"


class BundleIncomplete(UsageError):
    """A bundle cannot be materialised: a content is nowhere to be found, or it is not what was asked for."""


class BundleStore:
    """The bundles of one home.

    :param folder: made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._objects = folder / "objects"
        self._sound: set[str] = set()

    def add(self, content: bytes, *, program: bool) -> FileEntry:
        """Keep a content."""
        sha256 = hashlib.sha256(content).hexdigest()
        entry = FileEntry(sha256, len(content), PROGRAM_MODE if program else PLAIN_MODE)
        self._keep(entry, content)
        return entry

    def read(self, sha256: str) -> bytes:
        """A content that was kept.

        :raises FileNotFoundError: when it was not.
        """
        path = self._object(FileEntry(sha256, 0, PLAIN_MODE))
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return path.with_name(f"{sha256}.x").read_bytes()

    def path(self, bundle_hash: str) -> Path:
        """Where a bundle is or would be materialised."""
        return self.folder / bundle_hash

    def materialise(self, bundle: Bundle, fetch: Fetch | None = None, *, is_fetched: bool = False) -> Path:
        """Make the folder of a bundle, unless it is there.

        :param fetch: asked for contents that this host does not have.
        :param is_fetched: whether :class:`~clockmill.bundles.fetched.FetchedBundles` may remove it one day.
        :raises BundleIncomplete: when a content is nowhere to be found.
        """
        target = self.path(bundle.hash)
        if bundle.hash in self._sound and target.is_dir():
            return target
        if is_fetched:
            return self._make(bundle, target, fetch)
        with shared(self.folder):
            (self.folder / FETCHED / bundle.hash).unlink(missing_ok=True)
            return self._make(bundle, target, fetch)

    def _make(self, bundle: Bundle, target: Path, fetch: Fetch | None) -> Path:
        if target.is_dir() and not _is_sound(target, bundle):
            remove_tree(target)  # the power failed before its contents were on the disk
        if not target.is_dir():
            self._fetch_missing(bundle, fetch)
            self._assemble(bundle, target)
        self._sound.add(bundle.hash)
        return target

    def prune(self, keep: set[str], before: datetime) -> list[str]:
        """Remove the folders of all bundles but those in ``keep``, and contents that no folder uses any more.

        :param before: what was made since then is kept, because somebody may be about to use it.
        :returns: the hashes removed.
        """
        limit = before.timestamp()
        gone = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if len(path.name) == HASH_LENGTH and path.name not in keep and path.stat().st_ctime < limit:
                self._sound.discard(path.name)
                remove_tree(path)
                gone.append(path.name)
        if gone:
            self.sweep_contents(limit)
        return sorted(gone)

    def sweep_contents(self, before: float) -> None:
        """Remove contents that no folder uses.

        :param before: what was made since this moment is kept, in seconds since 1970.
        """
        for path in self._objects.glob("??/*"):
            status = path.stat()
            if status.st_nlink == 1 and status.st_mtime < before:
                path.unlink(missing_ok=True)

    def _object(self, entry: FileEntry) -> Path:
        name = f"{entry.sha256}.x" if entry.mode == PROGRAM_MODE else entry.sha256
        return self._objects / entry.sha256[:2] / name

    def _has(self, entry: FileEntry) -> bool:
        try:
            return self._object(entry).stat().st_size == entry.size
        except FileNotFoundError:
            return False

    def _keep(self, entry: FileEntry, content: bytes) -> None:
        if self._has(entry):
            return
        path = self._object(entry)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), _READ_ONLY_PROGRAM if entry.mode == PROGRAM_MODE else _READ_ONLY)
        Path(temporary).replace(path)

    def _fetch_missing(self, bundle: Bundle, fetch: Fetch | None) -> None:
        wanted: dict[str, dict[FileEntry, str]] = {}
        for path, entry in bundle.files.items():
            if not self._has(entry):
                wanted.setdefault(entry.sha256, {})[entry] = path
        hashes = list(wanted)
        for first in range(0, len(hashes), _FETCH_AT_ONCE):
            part = hashes[first : first + _FETCH_AT_ONCE]
            contents = {**self._held(part), **_intact(fetch(part) if fetch else {})}
            for sha256 in part:
                for entry, path in wanted[sha256].items():
                    if sha256 not in contents:
                        raise BundleIncomplete(f"The content of {path!r} of bundle {bundle.hash[:12]} is nowhere.")
                    self._keep(entry, contents[sha256])

    def _held(self, hashes: list[str]) -> dict[str, bytes]:
        """Contents that are here under the other mode, and whole."""
        held = {}
        for sha256 in hashes:
            try:
                content = self.read(sha256)
            except FileNotFoundError:
                continue
            if hashlib.sha256(content).hexdigest() == sha256:
                held[sha256] = content
        return held

    def _assemble(self, bundle: Bundle, target: Path) -> None:
        for name in bundle.files:
            if not {"", ".", ".."}.isdisjoint(name.split("/")):
                raise BundleIncomplete(f"The bundle {bundle.hash[:12]} has a file {name!r}, which lies outside of it.")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = Path(tempfile.mkdtemp(dir=self.folder, prefix=".new-"))
        folders = {draft}
        for relative, entry in bundle.files.items():
            path = draft / relative
            if path.parent not in folders:
                path.parent.mkdir(parents=True, exist_ok=True)
                folders.update(p for p in path.parents if draft in p.parents)
            _link(self._object(entry), path)
        for folder in folders:
            folder.chmod(_READ_ONLY_PROGRAM)
        try:
            draft.rename(target)
        except OSError:
            remove_tree(draft)
            if not target.is_dir():
                raise  # that somebody else was faster is the one good reason


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[None]:
    """While this lasts, nobody removes bundles that workers have fetched."""
    try:
        lock = os.open(folder / FETCHED / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # no worker was ever here
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def _intact(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """What on its way to here was neither damaged nor exchanged."""
    return {key: content for key, content in contents.items() if hashlib.sha256(content).hexdigest() == key}


def _link(source: Path, path: Path) -> None:
    try:
        path.hardlink_to(source)
    except OSError:  # too many links to one content, or a file system that has none
        shutil.copy2(source, path)


def _is_sound(target: Path, bundle: Bundle) -> bool:
    try:
        return all((target / path).stat().st_size == entry.size for path, entry in bundle.files.items())
    except OSError:
        return False


def remove_tree(folder: Path) -> None:
    """Remove a read-only tree."""
    for path, names, _ in os.walk(folder):
        Path(path).chmod(0o700)
        for name in names:
            (Path(path) / name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
