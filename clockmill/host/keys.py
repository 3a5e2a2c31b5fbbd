"""Keys in files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_KEY_BYTES = 32


def load_or_make_key(path: Path) -> bytes:
    """The key in a file, made with mode 0600 at the first call; of several that make it at once, one wins.

    :param path: the file that keeps it.
    :raises OSError: when the file can be neither read nor made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_bytes()
