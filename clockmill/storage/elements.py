"""Single elements of stored lists: one that thousands of tasks are mapped over is read once, not once for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clockmill.xcom import element, parts

#: How much text the lists may have had that are remembered; one is remembered however long it is.
_LONGEST = 2 << 20


class Elements:
    """The lists read last. They are known by their rows, and a row is never changed."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[int, list[Any] | None]] = {}

    def get(self, row: Any, index: int, read: Callable[[], str]) -> str | None:
        """One element as JSON text; None when there is none.

        :param row: what tells the row of the value from all others that ever were.
        :param read: gives the whole value as JSON text.
        """
        known = self._known.get(row) or self._remember(row, read())
        return element(known[1], index)

    def _remember(self, row: Any, text: str) -> tuple[int, list[Any] | None]:
        taken = len(text) + sum(size for size, _ in self._known.values())
        for oldest in list(self._known):
            if taken <= _LONGEST:
                break
            taken -= self._known.pop(oldest, (0, None))[0]  # another thread may have been faster
        self._known[row] = known = (len(text), parts(text))
        return known
