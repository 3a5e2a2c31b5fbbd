"""How values look to people: times, durations, states, file addresses. Pure functions, used as Jinja filters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from clockmill.state.resources import from_text, spoken

#: As sentences for logs and terminals have moments.
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d{6}\+00:00")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
#: The narrowest bar of a chart that can still be seen, as a part of the whole.
_THINNEST = 0.006
_BAR_ORDER = ("success", "failed", "running", "queued")


def absolute(moment: datetime) -> str:
    """``2026-01-31 06:00:00 UTC``, with microseconds where there are any."""
    utc = moment.astimezone(UTC)
    shown = utc.strftime("%Y-%m-%d %H:%M:%S")
    return f"{shown}.{utc.microsecond:06d} UTC" if utc.microsecond else f"{shown} UTC"


def short_date(moment: datetime) -> str:
    """``2026-01-31 06:00``, in UTC; seconds only where there are any."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%d %H:%M:%S" if utc.second else "%Y-%m-%d %H:%M")


def millis(moment: datetime) -> str:
    """``2026-01-31 06:00:00.123``, in UTC."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d}"


def told(sentence: str) -> str:
    """A sentence whose moments read as on the rest of the page: ``2026-01-31 06:00:00 UTC``."""
    return _ISO.sub(r"\1 \2 UTC", sentence)


def since(moment: datetime, start: datetime) -> str:
    """``+12 ms``, ``+2 min 05 s``: how long after ``start`` something was; clocks of two machines may disagree."""
    seconds = (moment - start).total_seconds()
    return f"+{span(seconds)}" if seconds >= 0 else f"-{span(-seconds)}"


def relative(moment: datetime, now: datetime) -> str:
    """``3 min ago``, ``in 2 h``, ``now``."""
    seconds = (moment - now).total_seconds()
    size = _rough(abs(seconds))
    if not size:
        return "now"
    return f"in {size}" if seconds > 0 else f"{size} ago"


def _rough(seconds: float) -> str:
    if seconds < 1:
        return ""
    if seconds < _MINUTE:
        return f"{int(seconds)} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min"
    if seconds < 2 * _DAY:
        return f"{int(seconds // _HOUR)} h"
    return f"{int(seconds // _DAY)} days"


def duration(start: datetime | None, end: datetime | None, now: datetime) -> str:
    """How long something took, or has taken so far; empty before it began."""
    if start is None:
        return ""
    return span(max(((end or now) - start).total_seconds(), 0.0))


def span(seconds: float) -> str:
    """``12 ms``, ``3.4 s``, ``2 min 05 s``, ``1 h 02 min``, ``3 d 04 h``."""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR:02d} h"


def words(state: str) -> str:
    """A state name for people: ``up for retry``; a task without a state yet has ``no status``."""
    return "no status" if state == "none" else state.replace("_", " ")


def memory(kilobytes: int | None) -> str:
    """``48 MB``; empty when it was not measured."""
    if kilobytes is None:
        return ""
    return f"{kilobytes} KB" if kilobytes < 1024 else f"{kilobytes / 1024:,.0f} MB"


def asked(resources: str | None) -> str:
    """``2 cpu and 4 GB of memory``."""
    return spoken(from_text(resources))


def pretty_json(value: Any) -> str:
    """A value as indented JSON text; anything that JSON does not know as its text."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False, default=str)


class Timed(Protocol):
    """Something that began and ended."""

    @property
    def start_date(self) -> datetime | None: ...
    @property
    def end_date(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart: where it begins and how long it is, both in percent of the whole."""

    x: float
    width: float


def bar_in(item: Timed, start: datetime | None, end: datetime) -> Bar | None:
    """Where ``item`` lies between ``start`` and ``end``; None when it has not begun."""
    if start is None or item.start_date is None:
        return None
    whole = max((end - start).total_seconds(), 0.001)
    x = min(max((item.start_date - start).total_seconds() / whole, 0.0), 1.0 - _THINNEST)
    width = ((item.end_date or end) - item.start_date).total_seconds() / whole
    return Bar(round(100 * x, 2), round(100 * min(max(width, _THINNEST), 1.0 - x), 2))


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar, in percent of the whole."""

    name: str
    x: float
    width: float


def segments(counts: Mapping[Any, int]) -> list[Segment]:
    """One bar out of how many there are of each kind, in their order; what there is none of is left out.

    However few there are of a kind, they can be seen.
    """
    sizes = {str(name): max(number / sum(counts.values()), _THINNEST) for name, number in counts.items() if number}
    whole, x, found = sum(sizes.values()), 0.0, []
    for name, size in sizes.items():
        width = 100 * size / whole
        found.append(Segment(name, round(x, 3), round(width, 3)))
        x += width
    return found


def run_segments(counts: Mapping[Any, int]) -> list[Segment]:
    """The runs of a backfill as one bar: what is done, what goes on, what is left."""
    return segments({name: counts.get(name, 0) for name in _BAR_ORDER})


def pool_segments(running: int, queued: int, deferred: int, slots: int) -> list[Segment]:
    """The slots of a pool as one bar, the open ones last."""
    used = running + queued + deferred
    parts = {"running": running, "queued": queued, "deferred": deferred, "open": max(slots - used, 0)}
    return segments(parts)


def seconds_taken(item: Timed, now: datetime) -> float:
    """How long ``item`` took, or has taken so far, in seconds; 0 before it began."""
    if item.start_date is None:
        return 0.0
    return max(((item.end_date or now) - item.start_date).total_seconds(), 0.0)


def heights(times: Sequence[float], *, tallest: int, lowest: int) -> list[int]:
    """The height of a bar for each duration; the longest has ``tallest``."""
    longest = max(times, default=0.0) or 1.0
    return [round(lowest + (tallest - lowest) * seconds / longest) for seconds in times]
