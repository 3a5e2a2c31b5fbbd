"""Task logs as harmless text, without terminal control sequences, and only from the folder of the logs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from clockmill.errors import UsageError
from clockmill.logs.paths import path_for
from clockmill.storage.records import RunRow, TaskRow

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor moves
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links
    r"|\x1b[ -/]*[0-~]"  # other escapes
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
    r"|[\u202a-\u202e\u2066-\u2069]"  # marks that turn the direction of what follows
)
#: What the log writer puts before every line; ``***`` marks its own.
_STAMP = re.compile(r"(?P<stamp>\d{4}-\d\d-\d\dT(?P<time>\d\d:\d\d:\d\d\.\d{3})\d{3}\+00:00) ?(?P<own>\*\*\* )?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a log.

    :param stamp: when it was written, ISO 8601; empty when the line has no stamp.
    :param time: the part of it that a page shows.
    :param is_own: written by Clockmill, not by the task.
    """

    stamp: str
    time: str
    is_own: bool
    text: str


def log_path(logs_folder: Path, run: RunRow, task: TaskRow, try_number: int) -> Path:
    """The file of one try.

    :raises UsageError: when it lies outside the folder of the logs, by an id or by a link.
    """
    path = path_for(
        logs_folder,
        dag_id=run.dag_id,
        run_id=run.run_id,
        task_id=task.task_id,
        map_index=task.map_index,
        try_number=try_number,
    )
    return inside(logs_folder, path)


def inside(logs_folder: Path, path: Path) -> Path:
    """``path``, when it lies in the folder of the logs.

    :raises UsageError: when it does not, by an id or by a link.
    """
    if not path.resolve().is_relative_to(logs_folder.resolve()):
        raise UsageError("This log lies outside the folder of the logs, so it is not shown.")
    return path


def text_of(data: bytes) -> str:
    """A piece of a log as harmless text."""
    return plain(data.decode(errors="replace"))


def plain(text: str) -> str:
    """``text`` without what steers a terminal; a lone carriage return begins a new line."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def lines(text: str) -> list[LogLine]:
    """The lines of a log with their time stamps split off; ``static/log.js`` does the same with what comes later."""
    return [_line(line) for line in text.removesuffix("\n").split("\n")] if text else []


def _line(line: str) -> LogLine:
    match = _STAMP.match(line)
    if match is None:
        return LogLine(stamp="", time="", is_own=False, text=line)
    return LogLine(stamp=match["stamp"], time=match["time"], is_own=match["own"] is not None, text=line[match.end() :])
