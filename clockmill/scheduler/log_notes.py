"""Lines that the scheduler adds to the log of a try whose process is over, when it decides otherwise than that said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clockmill.clock import Clock
from clockmill.logs.paths import notes_file, path_for
from clockmill.logs.writer import LogWriter
from clockmill.state import TaskKey


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNote:
    """A line for the log of one try.

    :param task: whose try it is.
    """

    dag_id: str
    run_id: str
    task: TaskKey
    try_number: int
    text: str


def write_notes(logs: Path, clock: Clock, notes: Iterable[LogNote]) -> None:
    """Append them, once they are true, that is committed; one that cannot be written is left out.

    Where workers send logs, a try has no file of its own here, and they go beside its parts. The rows know the same,
    so a crash in between costs a line to read and nothing else.
    """
    for note in notes:
        path = path_for(
            logs,
            dag_id=note.dag_id,
            run_id=note.run_id,
            task_id=note.task.task_id,
            map_index=note.task.map_index,
            try_number=note.try_number,
        )
        writer = LogWriter(path if path.exists() else notes_file(path), clock)
        writer.note(note.text)
        writer.close()
