"""What cannot be worked on, left aside so that it holds up nothing else."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


class Quarantine(Collection[K]):
    """Runs, DAGs or backfills that one scheduler leaves alone until they change.

    Each is kept with a mark, such as its revision, that tells how it was when it made trouble. Nothing is written down:
    another scheduler, whose code may be newer, finds out for itself.
    """

    def __init__(self) -> None:
        self._marks: dict[K, object] = {}

    def __contains__(self, ident: object) -> bool:
        return ident in self._marks

    def __iter__(self) -> Iterator[K]:
        return iter(self._marks)

    def __len__(self) -> int:
        return len(self._marks)

    def put(self, ident: K, mark: object) -> None:
        """Leave it aside as long as it carries this mark."""
        self._marks[ident] = mark

    def holds(self, ident: K, mark: object) -> bool:
        """Whether it is left aside still; one that carries another mark by now is let go."""
        if ident in self._marks and self._marks[ident] != mark:
            del self._marks[ident]
        return ident in self._marks

    def compare(self, marks: Mapping[K, object]) -> None:
        """Let go all that carry another mark by now, or are gone."""
        self._marks = {ident: mark for ident, mark in self._marks.items() if ident in marks and marks[ident] == mark}
