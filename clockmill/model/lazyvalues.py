"""Derived values inside a running task. Apart from the rest, because loading a DAG file needs nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from clockmill.model.context import Context
from clockmill.model.xcom_arg import Values
from clockmill.xcom import LazySequence


class LazyValues(LazySequence):
    """The elements of derived values, computed one by one, when they are asked for."""

    def __init__(self, values: Values, context: Context) -> None:
        self._values = values
        self._context = context

    def __len__(self) -> int:
        return self._values.length(self._context)

    def at(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"{self!r} has no element {index}")
        return self._values.element(self._context, index)

    def part(self, start: int, stop: int) -> Iterator[Any]:
        return islice(self._values.elements(self._context), start, stop)
