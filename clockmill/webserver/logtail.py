"""Task logs as harmless text: a bounded piece at a time, without terminal control sequences."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from clockmill.errors import UsageError
from clockmill.ids import id_problem
from clockmill.storage.records import RunRow, TaskRow

#: Bytes of one answer; a page shows so much of the end of a log.
CHUNK_BYTES = 256 * 1024

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor moves
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links
    r"|\x1b[ -/]*[0-~]"  # other escapes
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
    r"|[\u202a-\u202e\u2066-\u2069]"  # marks that turn the direction of what follows
)
_UNFINISHED_ESCAPE = re.compile(rb"\x1b[^@-~\x07\n]{0,64}$|\x1b\[[0-?]{0,64}[ -/]{0,8}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a log.

    :param offset: the byte at which it begins.
    :param next_offset: the byte at which the next piece begins.
    :param size: how many bytes the file had.
    """

    text: str
    offset: int
    next_offset: int
    size: int


def log_path(logs_folder: Path, run: RunRow, task: TaskRow, try_number: int) -> Path:
    """The file of one try.

    :raises UsageError: when an id could lead out of the folder of the logs.
    """
    for kind, value in (("DAG", run.dag_id), ("run", run.run_id), ("task", task.task_id)):
        if problem := id_problem(kind, value):
            raise UsageError(problem)
    path = logs_folder / run.dag_id / run.run_id / task.task_id / str(task.map_index) / f"{try_number}.log"
    if not path.resolve().is_relative_to(logs_folder.resolve()):
        raise UsageError("This log lies outside the folder of the logs, so it is not shown.")
    return path


def read_chunk(path: Path, offset: int, limit: int = CHUNK_BYTES) -> Chunk:
    """The text from byte ``offset`` on, at most ``limit`` bytes; empty when there is no such file yet."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(min(offset, size))
            data = file.read(limit)
    except FileNotFoundError:
        return Chunk(text="", offset=offset, next_offset=offset, size=0)
    data = _whole(data)
    return Chunk(text=plain(data.decode(errors="replace")), offset=offset, next_offset=offset + len(data), size=size)


def read_tail(path: Path, limit: int = CHUNK_BYTES) -> Chunk:
    """The last ``limit`` bytes of a log, from the beginning of a line on."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = 0
    if size <= limit:
        return read_chunk(path, 0, limit)
    chunk = read_chunk(path, size - limit, limit)
    return Chunk(
        text=chunk.text.partition("\n")[2], offset=chunk.offset, next_offset=chunk.next_offset, size=chunk.size
    )


def plain(text: str) -> str:
    """``text`` without what steers a terminal; a lone carriage return begins a new line."""
    return _CONTROL.sub("", text).replace("\r\n", "\n").replace("\r", "\n")


def _whole(data: bytes) -> bytes:
    """``data`` without a character or an escape sequence cut off at its end; they come with the next piece."""
    match = _UNFINISHED_ESCAPE.search(data[-80:])
    if match:
        data = data[: len(data) - len(match.group())]
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if needed > back else data
        if byte < 0x80:
            break
    return data
