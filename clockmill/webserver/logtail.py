"""Task logs as harmless text, without terminal control sequences."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
