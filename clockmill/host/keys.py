"""Keys in files that only their owner may read."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

_KEY_BYTES = 32


def load_or_make_key(path: Path) -> bytes:
    """The key in a file, made with mode 0600 at the first call; of several that make it at once, one wins.

    :param path: the file that keeps it.
    :raises OSError: when the file can be neither read nor made.
    """
    if not path.exists():
        create_once(path, secrets.token_bytes(_KEY_BYTES))
    return path.read_bytes()


def create_once(path: Path, content: bytes) -> bool:
    """Make a file with mode 0600, whole from its first moment, unless there is one already.

    :returns: whether it was made; of several that make it at once, one does.
    :raises OSError: when it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    else:
        return True
    finally:
        Path(draft).unlink()
