"""Reads the logs of tries: in pieces, from the end, or as they grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clockmill.clock import Clock
from clockmill.errors import NotFound

#: The most that one :func:`read` returns, in bytes.
CHUNK_BYTES = 256 * 1024
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a log.

    :param text: whole lines, as far as there are any.
    :param next_offset: where to read on, in bytes.
    :param is_end: whether nothing more was there when it was read.
    """

    text: str
    next_offset: int
    is_end: bool


def read(path: Path, offset: int = 0, limit: int = CHUNK_BYTES) -> Chunk:
    """The log from ``offset`` on, at most ``limit`` bytes of it.

    :raises NotFound: when there is no such log.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, offset))
            data = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("log", str(path)) from None
    whole = _whole(data[:limit])
    return Chunk(whole.decode(errors="replace"), max(0, offset) + len(whole), is_end=len(whole) == len(data))


def tail(path: Path, limit: int = CHUNK_BYTES) -> Chunk:
    """The last lines of a log that fit into ``limit`` bytes.

    :raises NotFound: when there is no such log.
    """
    try:
        start = max(0, path.stat().st_size - limit)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("log", str(path)) from None
    chunk = read(path, start, limit)
    if start == 0:
        return chunk
    _, newline, whole = chunk.text.partition("\n")
    return Chunk(whole if newline else chunk.text, chunk.next_offset, chunk.is_end)


def follow(path: Path, clock: Clock, is_over: Callable[[], bool], offset: int = 0) -> Iterator[str]:
    """The log from ``offset`` on, and what is added to it, until ``is_over`` says that nothing more will come.

    The log need not exist yet.
    """
    while True:
        over = is_over()  # asked before the look, so that what came just before the end is not missed
        while True:
            try:
                chunk = read(path, offset)
            except NotFound:
                break
            if chunk.text:
                yield chunk.text
            offset = chunk.next_offset
            if chunk.is_end:
                break
        if over:
            return
        clock.sleep(_POLL_SECONDS)


def _whole(data: bytes) -> bytes:
    """``data`` up to its last newline; all of it when it has none."""
    end = data.rfind(b"\n") + 1
    return data[:end] if end else data
