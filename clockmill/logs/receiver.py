"""Takes in what workers send of the logs of their attempts, and keeps it in the logs folder of this machine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clockmill.logs.merged import inside
from clockmill.logs.paths import SUFFIX, UNFINISHED, attempts_folder, name_of, path_of_owner
from clockmill.protocols.logs import LogOwner, LogPiece

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class LogReceiver:
    """Keeps a file for each attempt; ``.part`` until its last piece is there.

    :param logs: the folder of the logs.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs

    def __call__(self, owner: LogOwner, piece: LogPiece) -> int:
        """Add what is new in a piece; one that begins behind what is there adds nothing.

        :returns: how many bytes are kept, from the first one on.
        :raises OSError: when it cannot be written.
        :raises UsageError: when an id is none, or a link leads out of the folder.
        """
        folder = inside(self._logs, attempts_folder(path_of_owner(self._logs, owner)))
        done = folder / f"{name_of(piece.attempt_id)}{SUFFIX}"
        growing = done.with_suffix(UNFINISHED)
        with _opened(done if done.exists() else growing) as file:
            size = _add(file, piece.offset, piece.data)
            if piece.is_last and size == piece.offset + len(piece.data) and not done.exists():
                growing.rename(done)
        return size


def _add(file: int, offset: int, data: bytes) -> int:
    size = os.fstat(file).st_size
    fresh = memoryview(data)[max(0, size - offset) :] if offset <= size else memoryview(b"")
    while fresh:
        written = os.write(file, fresh)
        size, fresh = size + written, fresh[written:]
    return size


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The file, with a lock: a worker that asks again may be heard while its first call is still served."""
    try:
        file = os.open(path, _FLAGS, 0o640)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, _FLAGS, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)
