"""One ``standalone`` per home: a lock that the kernel lets go when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clockmill.errors import UsageError


@contextmanager
def hold_home(lock_file: Path) -> Iterator[None]:
    """Keep other processes out of the home.

    :raises UsageError: when another process has it.
    """
    # Opened for appending: whoever fails to get the lock must not wipe out the holder's process id.
    with lock_file.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            by = f" by process {holder}" if holder else ""
            raise UsageError(
                f"The home {lock_file.parent} is already in use{by}: stop that, or choose another one with --home."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
        file.truncate(0)
