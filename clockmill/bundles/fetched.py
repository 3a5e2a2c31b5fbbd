"""What workers have fetched to this machine: the bundles used last are kept, others while somebody uses them.

``<folder>/fetched/HASH`` notes that a worker fetched a bundle; the time of that file says when it was last asked for.
What has no note is not ours: others of this home have made it. A supervisor holds a shared lock on the folder of each
bundle that its attempts may read, so that the kernel knows what is in use, whoever has died. ``<folder>/fetched/lock``
is held shared by whoever makes a bundle or finds it here, and alone by whoever removes some.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from clockmill.bundles.manifest import Bundle
from clockmill.bundles.store import FETCHED, HASH_LENGTH, BundleIncomplete, BundleStore, Fetch, remove_tree, shared
from clockmill.clock import Clock

log = logging.getLogger(__name__)

#: A bundle that was asked for is left alone for so long: it takes a while until a supervisor holds it.
_UNTOUCHED_SECONDS = 3600.0
_DOOMED = ".old-"


class FetchedBundles:
    """What workers use of the bundles of a home; for one thread.

    :param most: how many of those that were fetched are kept although nobody uses them.
    """

    def __init__(self, folder: Path, clock: Clock, most: int) -> None:
        self._store = BundleStore(folder)
        self._folder = folder
        self._notes = folder / FETCHED
        self._clock = clock
        self._most = most
        self._sound: set[str] = set()

    def get(self, bundle_hash: str, manifest: Callable[[], Bundle], fetch: Fetch) -> Path:
        """The folder of a bundle, fetched when it is not here.

        :param manifest: asked for its files, the first time.
        :raises BundleIncomplete: when a content is nowhere to be found.
        """
        self._notes.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = self._store.path(bundle_hash)
        with shared(self._folder):
            is_new = not target.is_dir()
            self._note(bundle_hash, is_new=is_new)
            if is_new or bundle_hash not in self._sound:
                found = manifest()
                if found.hash != bundle_hash:
                    raise BundleIncomplete(f"What came as the bundle {bundle_hash[:12]} is another one.")
                self._store.materialise(found, fetch, is_fetched=True)
                self._sound.add(bundle_hash)
        if is_new:
            try:
                self.prune()
            except OSError as error:
                log.warning("old bundles cannot be removed: %s", error)
        return target

    def prune(self) -> list[str]:
        """Remove what is too many, the longest unused first; returns the hashes removed.

        What was asked for within the last hour stays, and what a supervisor holds.
        """
        with _alone(self._notes / "lock") as is_alone:
            if not is_alone:
                return []
            for left in self._folder.glob(f"{_DOOMED}*"):  # of somebody who died over it
                remove_tree(left)
            gone = [each for each in self._superfluous() if self._remove(each)]
            if gone:
                self._sweep_contents()
        if gone:
            log.info("%d bundles that were fetched and not used any more are removed", len(gone))
        return gone

    def _note(self, bundle_hash: str, *, is_new: bool) -> None:
        note, now = self._notes / bundle_hash, self._clock.now().timestamp()
        if is_new:
            note.touch()
        with contextlib.suppress(FileNotFoundError):
            os.utime(note, (now, now))

    def _superfluous(self) -> list[str]:
        """The bundles beyond the limit that were not asked for lately."""
        limit = self._clock.now().timestamp() - _UNTOUCHED_SECONDS
        found = []
        for note in [note for note in self._notes.iterdir() if len(note.name) == HASH_LENGTH]:
            if self._store.path(note.name).is_dir():
                found.append((note.stat().st_mtime, note.name))
            else:  # it could not be fetched, or its removal was cut short
                note.unlink()
        by_age = sorted(found, reverse=True)
        return [name for used_at, name in by_age[self._most :] if used_at < limit]

    def _remove(self, bundle_hash: str) -> bool:
        """Remove a bundle, and then its note; False when somebody uses it."""
        path, doomed = self._store.path(bundle_hash), self._folder / f"{_DOOMED}{bundle_hash}"
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.rename(doomed)
        except BlockingIOError:
            return False
        finally:
            os.close(held)
        remove_tree(doomed)
        self._sound.discard(bundle_hash)
        (self._notes / bundle_hash).unlink(missing_ok=True)
        return True

    def _sweep_contents(self) -> None:
        """Remove contents that no bundle has any more, where none but workers make bundles."""
        folders = [path.name for path in self._folder.iterdir() if len(path.name) == HASH_LENGTH]
        if all((self._notes / name).exists() for name in folders):
            self._store.sweep_contents(self._clock.now().timestamp() - _UNTOUCHED_SECONDS)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold a lock alone; gives whether it could be had."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)
