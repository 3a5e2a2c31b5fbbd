"""How many instances a mapped task or group has: lengths alone, never values.

What an author maps over is a product of sources. The scheduler knows how long each value is and never decodes one;
which element an instance takes is found out in its own process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

#: The length of what a task pushed under a key, for the instance that asks; None when it gave no list or mapping.
Lengths = Callable[[str, str], int | None]


@dataclass(frozen=True, slots=True)
class Expansion:
    """The product of some sources, each as the DAG document has it.

    A source is one of ``{"literal": 3}``, ``{"xcom": [task_id, key]}``, ``{"map": source}``,
    ``{"zip": [sources], "longest": false}`` and ``{"concat": [sources]}``.

    :param over: the sources, in the order of the arguments that they are for.
    """

    over: tuple[Mapping[str, Any], ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Expansion | None:
        """The expansion that :meth:`to_json` wrote; None for None."""
        return None if data is None else cls(tuple(data["over"]))

    def to_json(self) -> dict[str, Any]:
        """This expansion as a dictionary that JSON knows."""
        return {"over": [dict(source) for source in self.over]}

    def task_ids(self) -> set[str]:
        """The tasks whose values are mapped over."""
        return {task_id for task_id, _ in self.xcoms()}

    def xcoms(self) -> set[tuple[str, str]]:
        """The values that are mapped over, each as task id and key."""
        return {xcom for source in self.over for xcom in _xcoms(source)}

    def picks(self, item: int, lengths: Lengths) -> list[tuple[str, str, int]]:
        """Which elements instance ``item`` takes of the values of tasks: task id, key, index.

        The task finds the same out for itself; nothing is wrong when something is missing here.
        """
        places: list[int] = []
        for source in reversed(self.over[1:]):
            length = _length(source, lengths)
            if not length:
                return []
            item, place = divmod(item, length)
            places.insert(0, place)
        pairs = zip(self.over, [item, *places], strict=True)
        return [pick for source, place in pairs for pick in _picks(source, place, lengths)]

    def size(self, lengths: Lengths) -> int | None:
        """How many instances there are; None when a source has no length."""
        found = [_length(source, lengths) for source in self.over]
        return None if None in found else prod(length for length in found if length is not None)


def _xcoms(source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    match source:
        case {"xcom": [task_id, key]}:
            yield task_id, key
        case {"map": inner}:
            yield from _xcoms(inner)
        case {"zip": several} | {"concat": several}:
            for inner in several:
                yield from _xcoms(inner)


def _length(source: Mapping[str, Any], lengths: Lengths) -> int | None:
    match source:
        case {"literal": int(length)}:
            return length
        case {"xcom": [task_id, key]}:
            return lengths(task_id, key)
        case {"map": inner}:
            return _length(inner, lengths)
        case {"zip": several, **options}:
            return _combined([_length(inner, lengths) for inner in several], max if options.get("longest") else min)
        case {"concat": several}:
            return _combined([_length(inner, lengths) for inner in several], sum)
    raise ValueError(f"{source!r} is nothing to map over")


def _picks(source: Mapping[str, Any], index: int, lengths: Lengths) -> Iterator[tuple[str, str, int]]:
    match source:
        case {"xcom": [task_id, key]}:
            yield task_id, key, index
        case {"map": inner}:
            yield from _picks(inner, index, lengths)
        case {"zip": several}:
            for inner in several:
                yield from _picks(inner, index, lengths)
        case {"concat": several}:
            for inner in several:
                length = _length(inner, lengths)
                if length is None:
                    return
                if index < length:
                    yield from _picks(inner, index, lengths)
                    return
                index -= length


def _combined(lengths: list[int | None], how: Callable[[list[int]], int]) -> int | None:
    known = [length for length in lengths if length is not None]
    return how(known) if len(known) == len(lengths) else None
