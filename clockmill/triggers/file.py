"""Triggers that wait for files of the machine that the triggerer runs on."""

from __future__ import annotations

import glob
import os
from collections.abc import AsyncIterator
from pathlib import Path

from clockmill.triggers.base import BaseTrigger, TriggerEvent


def find_file(path: str, *, recursive: bool = False) -> str | None:
    """The first file that ``path`` stands for, or None when there is none.

    :param path: a file, a folder, which stands for the files in it and below, or a pattern such as ``in/*.csv``.
    :param recursive: whether ``**`` in a pattern stands for any number of folders.
    """
    for found in sorted(glob.glob(path, recursive=recursive)):  # noqa: PTH207 - a pattern may be absolute
        if Path(found).is_file():
            return found
        for folder, _, files in os.walk(found):
            if files:
                return str(Path(folder) / min(files))
    return None


class FileTrigger(BaseTrigger):
    """Fires when there is a file; the event is its path.

    :param filepath: see :func:`find_file`, as ``recursive``.
    :param poke_interval: seconds between two looks.
    """

    def __init__(self, filepath: str, recursive: bool = False, poke_interval: float = 5.0) -> None:
        self.filepath = filepath
        self.recursive = recursive
        self.poke_interval = poke_interval

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is there."""
        import asyncio

        while (found := await asyncio.to_thread(find_file, self.filepath, recursive=self.recursive)) is None:
            await asyncio.sleep(self.poke_interval)
        yield TriggerEvent(found)


class FileDeleteTrigger(BaseTrigger):
    """Waits for a file, deletes it and fires: the file is a signal that is taken.

    A triggerer that dies between the two leaves neither file nor event, so use it where the signal comes again.

    :param filepath: the file; no pattern.
    :param poke_interval: seconds between two looks.
    """

    def __init__(self, filepath: str, poke_interval: float = 5.0) -> None:
        self.filepath = filepath
        self.poke_interval = poke_interval

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is there, and take it."""
        import asyncio

        while not await asyncio.to_thread(self._take):
            await asyncio.sleep(self.poke_interval)
        yield TriggerEvent(True)

    def _take(self) -> bool:
        try:
            Path(self.filepath).unlink()
        except FileNotFoundError:
            return False
        return True
