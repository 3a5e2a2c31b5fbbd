"""Sequences whose elements are looked up when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, overload


class LazySequence(Sequence[Any]):
    """The base of them. As an XCom it is a list, and it equals a list of the same elements."""

    @abstractmethod
    def at(self, index: int) -> Any:
        """The element at ``index``, from 0.

        :raises IndexError: when there are fewer.
        """

    @abstractmethod
    def part(self, start: int, stop: int) -> Iterator[Any]:
        """The elements from ``start`` up to ``stop``, which is not beyond the end."""

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, int):
            return self.at(index if index >= 0 else len(self) + index)
        places = range(len(self))[index]
        if not places:
            return []
        low, high = min(places[0], places[-1]), max(places[0], places[-1])
        found = list(islice(self.part(low, high + 1), 0, None, abs(places.step)))
        return found if places.step > 0 else found[::-1]

    def __iter__(self) -> Iterator[Any]:
        return self.part(0, len(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (LazySequence, list)):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} element{'' if len(self) == 1 else 's'}>"
