"""What tasks wrote on a worker and is not sent yet: a folder with a file for each attempt, and a note of whose it is.

A worker that begins again finds there what the one before it left.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from clockmill.errors import UsageError
from clockmill.logs.paths import SUFFIX, name_of
from clockmill.protocols import Workload

log = logging.getLogger(__name__)

_NOTE = ".json"


@dataclass(slots=True, kw_only=True)
class Parcel:
    """The log of one attempt, on its way.

    :param key: of the log: the path of its file below the folder of the logs, without the suffix.
    :ivar sent: how many bytes are known to be kept where it goes.
    :ivar pieces: in how many pieces these went; more than there were when a worker before this one sent some.
    :ivar due: when it is looked at next, in monotonic seconds.
    :ivar failures: how often in a row it could not be sent.
    :ivar is_over: its attempt is, so nothing more will be written.
    """

    attempt_id: str
    token: str
    key: str
    file: Path
    sent: int = 0
    pieces: int = 0
    due: float = 0.0
    failures: int = 0
    is_over: bool = False


class Spool:
    """A folder that one worker has to itself.

    :param folder: made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, workload: Workload) -> Parcel:
        """Note that an attempt is about to write.

        :param workload: as it is offered to workers: its ``log_path`` is relative to the folder of the logs.
        """
        path = PurePosixPath(workload.log_path)
        if path.is_absolute() or ".." in path.parts:
            raise UsageError(f"The log of an attempt cannot be {workload.log_path!r}.")
        name = name_of(workload.attempt_id)
        parcel = Parcel(
            attempt_id=workload.attempt_id,
            token=workload.token,
            key=str(path.with_suffix("")),
            file=self.folder / f"{name}{SUFFIX}",
        )
        self._note(parcel)
        return parcel

    def find(self, without: Collection[str], most: int) -> list[Parcel]:
        """What lies here, in any order.

        :param without: ids of attempts to leave out.
        """
        found: list[Parcel] = []
        for name in self._notes():
            attempt_id = name.removesuffix(_NOTE)
            if len(found) == most:
                break
            if attempt_id not in without and (parcel := self.get(attempt_id)) is not None:
                found.append(parcel)
        return found

    def get(self, attempt_id: str) -> Parcel | None:
        """What lies here of one attempt."""
        note = self.folder / f"{attempt_id}{_NOTE}"
        try:
            known: dict[str, Any] = json.loads(note.read_bytes())
            return Parcel(attempt_id=attempt_id, token=known["token"], key=known["key"], file=note.with_suffix(SUFFIX))
        except (OSError, ValueError, KeyError, TypeError):  # it is gone, or was being written when the machine stopped
            return None

    def drop(self, parcel: Parcel) -> None:
        """Forget a parcel, with what was written."""
        for file in (parcel.file, parcel.file.with_suffix(_NOTE)):
            with contextlib.suppress(OSError):
                file.unlink()

    def __len__(self) -> int:
        return sum(1 for _ in self._notes())

    def _notes(self) -> Iterator[str]:
        with os.scandir(self.folder) as entries:
            yield from (entry.name for entry in entries if entry.name.endswith(_NOTE))

    def _note(self, parcel: Parcel) -> None:
        """Whose it is; without the note it is still sent by this worker, and only by this one."""
        note = parcel.file.with_suffix(_NOTE)
        draft = note.with_suffix(".new")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"token": parcel.token, "key": parcel.key}, file)
            draft.replace(note)
        except OSError as error:
            log.warning("%s cannot be written: %s", note, error.strerror)
