"""Which report is to blame for letters that are refused. No clock, no thread, no call."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice


class Blame:
    """Finds the culprit: from the first refusal on, reports are told one by one.

    A report that is refused alone is held back for one letter. When that is refused as well, the report is not to
    blame, and is told again as before. When that is taken and then the report is refused once more, it is convicted.
    """

    def __init__(self) -> None:
        self._suspects: list[str] = []  # told one by one, in this order
        self._held_back: str | None = None
        self._doubted: set[str] = set()  # refused alone, before a letter without them was taken

    @property
    def is_sought(self) -> bool:
        """Whether it is not known yet who is to blame."""
        return bool(self._suspects) or self._held_back is not None

    def choose(self, waiting: Iterable[str], most: int) -> list[str]:
        """Which of the reports that wait are to be told by the next letter.

        :param most: so many at a time, while nobody is suspected.
        """
        if self._held_back is not None:
            return []
        return self._suspects[:1] or list(islice(waiting, most))

    def taken(self) -> None:
        """A letter was taken."""
        if self._held_back is not None:
            self._doubted.add(self._held_back)
            self._suspects = [self._held_back, *(each for each in self._suspects if each != self._held_back)]
            self._held_back = None

    def refused(self, told: list[str]) -> str | None:
        """A letter that told these reports was refused; returns the one that is convicted by that."""
        if self._held_back is not None:
            self._held_back = None
        elif len(told) != 1:
            self._suspects = told
        elif told[0] in self._doubted:
            self._let_go(told[0])
            return told[0]
        else:
            self._held_back = told[0]
        return None

    def over(self, ident: str) -> None:
        """A report was taken."""
        self._doubted.discard(ident)
        self._let_go(ident)

    def _let_go(self, ident: str) -> None:
        self._suspects = [each for each in self._suspects if each != ident]
