"""Reads the logs of tries: in pieces, from the end, or as they grow. A log that is not there yet is empty."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clockmill.clock import Clock

#: The most that one :func:`read_chunk` returns, in bytes.
CHUNK_BYTES = 256 * 1024
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a log.

    :param data: whole lines, but for one that is longer than a whole piece, and for the end of a log that is over.
    :param offset: the byte at which it begins.
    :param size: how many bytes the file had.
    """

    data: bytes
    offset: int
    size: int

    @property
    def next_offset(self) -> int:
        """The byte at which the next piece begins."""
        return self.offset + len(self.data)


def read_chunk(path: Path, offset: int, *, growing: bool, limit: int = CHUNK_BYTES) -> Chunk:
    """What is there from byte ``offset`` on, at most ``limit`` bytes.

    :param growing: somebody still writes, so a line without an end comes with a later piece.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(min(offset, size))
            data = file.read(limit)
    except FileNotFoundError:
        return Chunk(data=b"", offset=offset, size=0)
    if growing or offset + len(data) < size:
        data = _whole_lines(data, limit)
    return Chunk(data=data, offset=offset, size=size)


def read_tail(path: Path, *, growing: bool, limit: int = CHUNK_BYTES) -> Chunk:
    """The last ``limit`` bytes, from the beginning of a line on."""
    try:
        start = max(0, path.stat().st_size - limit)
    except FileNotFoundError:
        start = 0
    chunk = read_chunk(path, start, growing=growing, limit=limit)
    cut = chunk.data.find(b"\n") + 1 if start else 0
    return Chunk(data=chunk.data[cut:], offset=start + cut, size=chunk.size)


def follow(path: Path, clock: Clock, is_over: Callable[[], bool]) -> Iterator[bytes]:
    """All of a log, and what is added to it until ``is_over`` says that nothing more will come."""
    offset = 0
    while True:
        over = is_over()  # asked before the look, so that what came just before the end is not missed
        while (chunk := read_chunk(path, offset, growing=False)).data:
            yield chunk.data
            offset = chunk.next_offset
        if over:
            return
        clock.sleep(_LOOK_SECONDS)


def _whole_lines(data: bytes, limit: int) -> bytes:
    end = data.rfind(b"\n") + 1
    # A line longer than a whole piece is given out as it is, or nothing would ever come.
    return data[:end] if end or len(data) < limit else data
