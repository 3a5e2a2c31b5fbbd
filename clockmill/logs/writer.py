"""Writes the log of a try: every line time-stamped, in bounded memory, and never in the way of the task."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from clockmill.clock import Clock, iso

#: A longer line is broken, so that one endless line cannot fill the memory.
MAX_LINE_BYTES = 16 * 1024
#: Marks the lines that do not come from the task.
OWN_MARK = "***"


def _tell_nobody(_path: Path, _why: str) -> None:
    return


class LogWriter:
    """The open log of one attempt. No method raises: a log that cannot be written never stops a task.

    :param path: the file of the try; attempts of one try append to it.
    :param most_bytes: what the task writes beyond is dropped; lines of our own always get in.
    :param on_lost: called with the path and the reason whenever the disk refuses something.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        most_bytes: int = 1 << 30,
        on_lost: Callable[[Path, str], None] = _tell_nobody,
    ) -> None:
        self._path = path
        self._clock = clock
        self._most_bytes = most_bytes
        self._on_lost = on_lost
        self._room = most_bytes
        self._beyond = 0
        self._file: int | None = None
        self._waiting: list[bytes] = []
        self._open_line = b""
        self._dropped = 0

    def note(self, text: str) -> None:
        """Add a line of our own; it reaches the file with the next output, :meth:`flush` or :meth:`close`."""
        self._end_line()
        if self._beyond:
            self._say(f"{self._beyond:,} bytes beyond the limit of this log were dropped.")
            self._beyond = 0
        self._say(text)

    def feed(self, data: bytes, *, at_once: bool = True) -> None:
        """Add output of the task, stamped with the time at which each line arrived.

        :param at_once: whether it is written at once, or with the next :meth:`flush`.
        """
        if self._room <= 0:
            self._beyond += len(data)
            return
        stamp = iso(self._clock.now()).encode() + b" "
        lines = (self._open_line + data).split(b"\n")
        self._open_line = lines.pop()
        for line in lines:
            self._add(stamp, line)
        while len(self._open_line) >= MAX_LINE_BYTES:
            self._add(stamp, self._open_line[:MAX_LINE_BYTES])
            self._open_line = self._open_line[MAX_LINE_BYTES:]
        if at_once:
            self.flush()

    def flush(self) -> None:
        """Write what waits; what the disk refuses is dropped and counted."""
        if not self._waiting:
            return
        if self._dropped:
            note = f"\n{iso(self._clock.now())} {OWN_MARK} {self._dropped} bytes of this log could not be written\n"
            self._waiting.insert(0, note.encode())
        data = b"".join(self._waiting)
        self._waiting.clear()
        lost = self._write(data)
        self._dropped = self._dropped + lost if lost else 0

    def close(self) -> None:
        """Write the rest and close the file."""
        self._end_line()
        self.flush()
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def _add(self, stamp: bytes, line: bytes) -> None:
        for start in range(0, len(line) or 1, MAX_LINE_BYTES):
            piece = line[start : start + MAX_LINE_BYTES]
            if self._room > 0:
                self._waiting += (stamp, piece, b"\n")
                self._room -= len(stamp) + len(piece) + 1
                if self._room <= 0:
                    limit = f"{self._most_bytes >> 20:,} MiB" if self._most_bytes >> 20 else f"{self._most_bytes} bytes"
                    self._say(f"This log has reached its limit of {limit}: what the task writes beyond is dropped.")
            else:
                self._beyond += len(piece) + 1

    def _say(self, text: str) -> None:
        line = " ".join(text.splitlines())
        self._waiting.append(f"{iso(self._clock.now())} {OWN_MARK} {line}\n".encode(errors="backslashreplace"))

    def _end_line(self) -> None:
        if self._open_line:
            self._add(iso(self._clock.now()).encode() + b" ", self._open_line)
            self._open_line = b""

    def _write(self, data: bytes) -> int:
        """Write ``data``; returns how many bytes of it were lost."""
        view = memoryview(data)
        try:
            if self._file is None:
                self._file = _open(self._path)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self._on_lost(self._path, error.strerror or str(error))
            return len(view)
        return 0


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o640)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o640)
