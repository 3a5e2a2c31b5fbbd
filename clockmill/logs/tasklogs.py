"""The logs of tasks for those who read them: what lies on this machine, else what workers sent to a store.

Nobody waits long for a slow store: a call that takes too long is left to itself, and its reader gets an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from clockmill.logs.merged import WHOLE_TRY, Cursor, Log, find_in_folder, log_of
from clockmill.logs.paths import attempts_folder
from clockmill.logs.reader import CHUNK_BYTES, Chunk, read_chunk, read_tail
from clockmill.logs.store import LogStore, LogsUnavailable

T = TypeVar("T")

#: Seconds that a reader waits for a store.
LIMIT_SECONDS = 5.0
_CALLS_AT_ONCE = 4
_LOOKS = 3


class TaskLogs:
    """Finds and reads logs.

    :param folder: of the logs on this machine.
    :param store: where workers send theirs, unless that is this folder.
    :param is_sent: whether workers send what their tasks write, here or to the store.
    """

    def __init__(
        self, folder: Path, store: LogStore | None = None, *, is_sent: bool = False, limit: float = LIMIT_SECONDS
    ) -> None:
        self.folder = folder
        self.is_sent = is_sent or store is not None
        self.has_store = store is not None
        self._store = store
        self._limited = _Limited(limit)

    def find(self, path: Path) -> Log:
        """What there is of a log.

        :param path: of the file of the try, below the folder of the logs, whether it is there or not.
        :raises LogsUnavailable: when the store does not answer.
        :raises OutsideLogs: when a link leads out of the folder.
        """
        return self._look(lambda: self._find(path))

    def chunk(self, path: Path, at: Cursor, *, growing: bool, limit: int = CHUNK_BYTES) -> tuple[Log, Chunk]:
        """A piece of a log, and what there was of the log; raises as :meth:`find` does."""

        def look() -> tuple[Log, Chunk]:
            log = self._find(path)
            return log, read_chunk(log, at, growing=growing, limit=limit)

        return self._look(look)

    def tail(self, path: Path, *, growing: bool) -> tuple[Log, Chunk]:
        """The end of a log, and what there was of the log; raises as :meth:`find` does."""

        def look() -> tuple[Log, Chunk]:
            log = self._find(path)
            return log, read_tail(log, growing=growing)

        return self._look(look)

    def _find(self, path: Path) -> Log:
        here = find_in_folder(self.folder, path)
        if self._store is None or any(segment.part == WHOLE_TRY for segment in here.segments):
            return here
        store, key = self._store, attempts_folder(path.relative_to(self.folder)).as_posix()
        there = self._limited.call(lambda: store.find(key), store.url)
        ours = {segment.part for segment in there.segments}
        segments = [*there.segments, *(each for each in here.segments if each.part not in ours)]

        def fetch(ranges: Any) -> list[bytes]:
            remote = [each for each in ranges if isinstance(each[0], str)]
            found = iter(self._limited.call(lambda: store.fetch(remote), store.url) if remote else ())
            return [next(found) if isinstance(each[0], str) else here.fetch([each])[0] for each in ranges]

        return log_of(segments, here.whole | there.whole, fetch)

    @staticmethod
    def _look(look: Callable[[], T]) -> T:
        """Look again when a part was put in another place meanwhile: its pieces have become one."""
        for _ in range(_LOOKS - 1):
            try:
                return look()
            except FileNotFoundError:
                continue
        try:
            return look()
        except FileNotFoundError:
            raise LogsUnavailable("A part of this log went away while it was read; look again.") from None


class _Limited:
    """Calls that are given up after a while.

    :param seconds: how long a call may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._room = threading.BoundedSemaphore(_CALLS_AT_ONCE)

    def call(self, work: Callable[[], T], where: str) -> T:
        """What ``work`` gives or raises.

        :raises LogsUnavailable: when it takes too long, or too many calls hang already.
        """
        if not self._room.acquire(timeout=self._seconds):
            raise LogsUnavailable(f"The logs in {where} cannot be read now: earlier calls to it hang.")
        result: list[tuple[T | None, BaseException | None]] = []
        done = threading.Event()

        def run() -> None:
            try:
                result.append((work(), None))
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                result.append((None, error))
            finally:
                self._room.release()
                done.set()

        threading.Thread(target=run, name="log-store", daemon=True).start()  # it must not hold up the end of a process
        if not done.wait(self._seconds):
            raise LogsUnavailable(f"The logs in {where} cannot be read now: no answer within {self._seconds:g} s.")
        value, error = result[0]
        if error is not None:
            raise error
        return value  # type: ignore[return-value]
