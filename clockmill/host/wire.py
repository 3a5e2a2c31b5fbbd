"""How our processes talk over stream sockets: frames of four length bytes and one JSON object."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable
from typing import Any

Message = dict[str, Any]

_LENGTH = struct.Struct(">I")
MAX_FRAME_BYTES = 256 << 20


class FrameTooLarge(ValueError):
    """The other side announced more than the reader is willing to hold."""


def encode(messages: Iterable[Message]) -> bytes:
    """All ``messages`` as the bytes of one write."""
    parts: list[bytes] = []
    for message in messages:
        body = json.dumps(message, separators=(",", ":")).encode()
        parts += (_LENGTH.pack(len(body)), body)
    return b"".join(parts)


def read_one(descriptor: int) -> Message:
    """Wait for one message, and read not a byte of what follows it.

    :raises ValueError: when it holds no JSON, or the other side is gone before it is complete.
    """
    (length,) = _LENGTH.unpack(_read_exactly(descriptor, _LENGTH.size))
    return _parse(_read_exactly(descriptor, length))


class FrameReader:
    """Puts frames together again from the pieces that a stream delivers.

    :param limit: the largest frame accepted, in bytes.
    """

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes, in order.

        :raises FrameTooLarge: when a frame is larger than the limit.
        :raises ValueError: when a frame holds no JSON.
        """
        self._buffer += data
        messages = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > self._limit:
                raise FrameTooLarge(f"A message of {length} bytes is larger than the limit of {self._limit}.")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(_parse(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]
        return messages


def _read_exactly(descriptor: int, count: int) -> bytearray:
    data = bytearray()
    while len(data) < count:
        piece = os.read(descriptor, count - len(data))
        if not piece:
            raise ValueError("The other side is gone.")
        data += piece
    return data


def _parse(body: bytearray) -> Message:
    try:
        message: Message = json.loads(body)
    except RecursionError:
        raise ValueError("The message is nested too deeply.") from None
    return message
