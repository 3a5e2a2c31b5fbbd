"""Reads the logs of tries: in pieces, from the end, or as they grow. A log that is not there yet is empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clockmill.clock import Clock
from clockmill.logs.merged import Cursor, Log, Segment

#: The most that one :func:`read_chunk` returns, in bytes.
CHUNK_BYTES = 256 * 1024
#: From so many places it takes them at most: each is a call where they are in a store.
_MOST_PLACES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a log.

    :param data: whole lines, but for one that is longer than a whole piece, and for the end of a log that is over.
    :param offset: how many bytes of the log are before it.
    :param size: how many bytes the log had.
    :param next: where the next piece begins.
    :param is_end: nothing was there behind it.
    """

    data: bytes
    offset: int
    size: int
    next: Cursor
    is_end: bool


def read_chunk(log: Log, at: Cursor, *, growing: bool, limit: int = CHUNK_BYTES) -> Chunk:
    """What is there from a place on, at most ``limit`` bytes.

    :param growing: somebody still writes, so a line without an end comes with a later piece.
    """
    before, wanted = _split(log.segments, at)
    taken = _beginning(wanted, limit)
    data, last = _joined(taken, log.read(taken))
    reached = Cursor(last.part, last.end) if last else at
    is_end = _split(log.segments, reached)[1] == []
    if growing or not is_end:
        whole = _whole_lines(data, may_wait=is_end and len(data) < limit)
        reached = Cursor(reached.part, reached.offset - (len(data) - len(whole)))
        is_end = is_end and len(whole) == len(data)
        data = whole
    return Chunk(data=data, offset=before, size=log.size, next=reached, is_end=is_end)


def read_tail(log: Log, *, growing: bool, limit: int = CHUNK_BYTES) -> Chunk:
    """The last ``limit`` bytes, from the beginning of a line on."""
    first = _end_segments(log.segments, limit)
    begins = Cursor(first.part, first.start) if first else Cursor()
    chunk = read_chunk(log, begins, growing=growing, limit=limit)
    cut = chunk.data.find(b"\n") + 1 if chunk.offset else 0
    return Chunk(
        data=chunk.data[cut:], offset=chunk.offset + cut, size=chunk.size, next=chunk.next, is_end=chunk.is_end
    )


def follow(
    chunk_at: Callable[[Cursor], Chunk], clock: Clock, is_over: Callable[[], bool], *, look_seconds: float = 0.2
) -> Iterator[bytes]:
    """All of a log, and what is added to it until ``is_over`` says that nothing more will come.

    :param chunk_at: reads from a place on.
    :param look_seconds: the time between two looks.
    """
    at = Cursor()
    while True:
        over = is_over()  # asked before the look, so that what came just before the end is not missed
        while (chunk := chunk_at(at)).data:
            yield chunk.data
            at = chunk.next
        if over:
            return
        clock.sleep(look_seconds)


def _split(segments: Sequence[Segment], at: Cursor) -> tuple[int, list[Segment]]:
    """How many bytes are before a place, and what is from there on."""
    before, wanted = 0, []
    for segment in segments:
        if segment.part < at.part or (segment.part == at.part and segment.end <= at.offset):
            before += segment.size
            continue
        fresh = segment.cut(at.offset, segment.end) if segment.part == at.part else segment
        before += segment.size - fresh.size
        wanted.append(fresh)
    return before, wanted


def _beginning(segments: Sequence[Segment], limit: int) -> list[Segment]:
    taken: list[Segment] = []
    for segment in segments[:_MOST_PLACES]:
        taken.append(segment.cut(segment.start, segment.start + limit))
        limit -= taken[-1].size
        if limit <= 0:
            break
    return taken


def _end_segments(segments: Sequence[Segment], limit: int) -> Segment | None:
    """Where the last ``limit`` bytes begin."""
    first = None
    for segment in reversed(segments[-_MOST_PLACES:]):
        first = segment.cut(segment.end - limit, segment.end)
        limit -= first.size
        if limit <= 0:
            break
    return first


def _joined(taken: Sequence[Segment], found: Sequence[bytes]) -> tuple[bytes, Segment | None]:
    """The bytes in one, and up to where they go; a part begins with a line of its own.

    What is shorter than it was ends the piece: the rest is looked for again.
    """
    data, last = bytearray(), None
    for segment, read in zip(taken, found, strict=True):
        if last is not None and last.part != segment.part and data and not data.endswith(b"\n"):
            data += b"\n"
        data += read
        last = segment.cut(segment.start, segment.start + len(read))
        if len(read) < segment.size:
            break
    return bytes(data), last


def _whole_lines(data: bytes, *, may_wait: bool) -> bytes:
    """Without the line at the end that has no end; all of it when that would be nothing, and waiting does not help."""
    end = data.rfind(b"\n") + 1
    return data[:end] if end or may_wait else data
