"""A log as it is read: one file, or the parts that several attempts and machines left of it, in order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Self

from clockmill.errors import UsageError
from clockmill.logs.paths import SUFFIX, UNFINISHED, attempts_folder

#: The part that is the file of the try itself.
WHOLE_TRY = ""
_CURSOR = re.compile(r"(?:([A-Za-z0-9_~][A-Za-z0-9_.\-]{0,249}):)?([0-9]{1,18})")

#: A file of this machine, or the name of an object of a store.
Place = Path | str
Fetch = Callable[[Sequence[tuple[Place, int, int]]], list[bytes]]


class OutsideLogs(UsageError):
    """A link leads out of the folder of the logs."""

    def __init__(self) -> None:
        super().__init__("This log lies outside the folder of the logs, so it is not shown.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes of a log that lie in one place.

    :param part: the attempt that wrote them; :data:`WHOLE_TRY` for those of all attempts.
    :param start: the number of the first of them, within the part.
    :param skip: how many bytes there are before them in that place.
    """

    part: str
    start: int
    size: int
    place: Place
    skip: int = 0

    @property
    def end(self) -> int:
        """The number of the byte behind the last of them, within the part."""
        return self.start + self.size

    def cut(self, start: int, end: int) -> Self:
        """What of it is between two bytes of the part."""
        first, last = max(start, self.start), min(end, self.end)
        return replace(self, start=first, size=max(0, last - first), skip=self.skip + first - self.start)


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in a log that stays right when an earlier part grows: a part, and a byte of it."""

    part: str = WHOLE_TRY
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.part}:{self.offset}" if self.part else str(self.offset)

    @classmethod
    def parse(cls, text: str) -> Self:
        """What ``str`` made of a cursor.

        :raises UsageError: when it is none.
        """
        if (match := _CURSOR.fullmatch(text)) is None:
            raise UsageError(f"{text[:40]!r} is no place in a log.")
        return cls(match[1] or WHOLE_TRY, int(match[2]))


@dataclass(frozen=True, slots=True)
class Log:
    """A log as it was found a moment ago.

    :param segments: by part and byte, without overlaps.
    :param whole: the parts that nothing more will be added to.
    :param fetch: reads ``(place, from byte, to byte)``; raises FileNotFoundError for what went away meanwhile.
    """

    segments: Sequence[Segment] = ()
    whole: frozenset[str] = frozenset()
    fetch: Fetch = field(default_factory=lambda: read_files, compare=False)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return sum(segment.size for segment in self.segments)

    @property
    def path(self) -> Path | None:
        """The file that is all of it, where one is."""
        only = self.segments[0] if len(self.segments) == 1 else None
        return only.place if only is not None and isinstance(only.place, Path) else None

    def missing(self, attempt_ids: Iterable[str]) -> list[str]:
        """Those of these attempts of which something is still to come."""
        if any(segment.part == WHOLE_TRY for segment in self.segments):
            return []
        return [ident for ident in attempt_ids if ident not in self.whole]

    def read(self, segments: Sequence[Segment]) -> list[bytes]:
        """The bytes of some of the segments, or of pieces of them."""
        return self.fetch([(each.place, each.skip, each.skip + each.size) for each in segments])


def log_of(segments: Iterable[Segment], whole: Iterable[str] = (), fetch: Fetch | None = None) -> Log:
    """A log of what was found, in any order and with overlaps."""
    ordered = sorted(segments, key=lambda each: (each.part, each.start))
    kept: list[Segment] = []
    for _, part in groupby(ordered, key=lambda each: each.part):
        end = 0
        for segment in part:
            fresh = segment.cut(end, segment.end)
            if fresh.size:
                kept.append(fresh)
                end = fresh.end
    return Log(kept, frozenset(whole), fetch or read_files)


def file_log(path: Path) -> Log:
    """The log that is one file; empty when it is not there yet."""
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return Log()
    return log_of([Segment(part=WHOLE_TRY, start=0, size=size, place=path)], {WHOLE_TRY})


def find_in_folder(logs: Path, path: Path) -> Log:
    """What the logs folder of this machine has of the log at ``path``.

    :raises OutsideLogs: when it lies outside of ``logs``, by a link.
    :raises FileNotFoundError: when a part was finished at this very moment.
    """
    alone = file_log(inside(logs, path))
    segments, whole = list(alone.segments), set(alone.whole)
    for part, file in _parts(inside(logs, attempts_folder(path))).items():
        size = inside(logs, file).stat().st_size
        segments.append(Segment(part=part, start=0, size=size, place=file))
        if file.suffix == SUFFIX:
            whole.add(part)
    return log_of(segments, whole)


def _parts(folder: Path) -> dict[str, Path]:
    """The file of each attempt; the finished one where there are two."""
    try:
        found = sorted(folder.iterdir(), key=lambda file: file.suffix == SUFFIX)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {file.stem: file for file in found if file.suffix in (SUFFIX, UNFINISHED)}


def inside(logs: Path, path: Path) -> Path:
    """``path``, when it lies in the folder of the logs.

    :raises OutsideLogs: when it does not, by an id or by a link.
    """
    if not path.resolve().is_relative_to(logs.resolve()):
        raise OutsideLogs
    return path


def read_files(ranges: Sequence[tuple[Place, int, int]]) -> list[bytes]:
    """Ranges of files; short where a file is shorter.

    :raises FileNotFoundError: when one went away.
    """
    found = []
    for place, start, end in ranges:
        with Path(place).open("rb") as file:
            file.seek(start)
            found.append(file.read(end - start))
    return found
