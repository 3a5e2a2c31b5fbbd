"""Numbers that look random and are the same whenever they are asked for again."""

from __future__ import annotations


def chance(seed: str) -> float:
    """A number from 0 up to but not 1 that always is the same for the same seed."""
    # Imported here: it brings a large library into every process that is forked from one that has it.
    from hashlib import blake2b

    return int.from_bytes(blake2b(seed.encode("utf-8", "backslashreplace"), digest_size=6).digest()) / 2**48
