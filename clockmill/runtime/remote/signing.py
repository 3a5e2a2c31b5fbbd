"""How a worker proves that it knows the secret of the installation, without sending it.

A call is signed as a whole, its address and its body, so what is overheard cannot be turned into another call. Saying
one again does nothing twice, so it is no harm that a call can be repeated.
"""

from __future__ import annotations

import gzip
import hmac
import zlib

PREFIX = "/execution/v1"
SIGNATURE = "Clockmill-Signature"
#: Neither side sends or takes more in one call, bytes, unpacked.
MOST_BYTES = 64 << 20
_WORTH_PACKING = 1024


class TooLarge(ValueError):
    """A body is larger than :data:`MOST_BYTES` once it is unpacked."""


def sign(secret: bytes, path: str, body: bytes) -> str:
    """The signature of a call: HMAC-SHA256, hexadecimal.

    :param path: of the address.
    :param body: as it is sent.
    """
    return hmac.digest(secret, f"{path}\n".encode() + body, "sha256").hex()


def is_signed(secret: bytes, path: str, body: bytes, signature: str) -> bool:
    """Whether a signature is that of this call."""
    return hmac.compare_digest(sign(secret, path, body).encode(), signature.encode())


def pack(body: bytes) -> tuple[bytes, dict[str, str]]:
    """A body as it travels, and the headers that say so."""
    if len(body) < _WORTH_PACKING:
        return body, {}
    return gzip.compress(body, compresslevel=1, mtime=0), {"Content-Encoding": "gzip"}


def unpack(body: bytes, encoding: str | None) -> bytes:
    """What :func:`pack` packed.

    :raises TooLarge: before more than the limit is unpacked.
    :raises ValueError: when it is no gzip, or packed in another way.
    """
    if encoding in (None, "", "identity"):
        return body
    if encoding != "gzip":
        raise ValueError(f"Content-Encoding is {encoding!r}, but must be gzip.")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"The body is no gzip: {error}.") from None
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise TooLarge(f"The body is cut off, or larger than {MOST_BYTES >> 20} MiB when it is unpacked.")
    return plain
