"""How a worker comes to its end, one phase after the other. No clock, no thread, no call."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto


class Phase(Enum):
    """How far a worker is; it never goes back."""

    WORKING = auto()  #: It takes work.
    DRAINING = auto()  #: It takes none; what it has ends, and that is told.
    LEAVING = auto()  #: All is told; goodbye is said until that is heard.
    ENDING = auto()  #: It says nothing more, and its supervisors are to go.
    OVER = auto()  #: There is nothing to wait for any more.


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left to a worker that takes no work any more.

    :param runs: whether something runs.
    :param has_news: whether there is something to tell.
    :param is_writing: whether a letter is under way.
    :param is_registered: whether there is somebody to whom goodbye can be said.
    :param has_left: whether goodbye was heard.
    :param has_supervisors: whether one of them is there.
    """

    runs: bool
    has_news: bool
    is_writing: bool
    is_registered: bool
    has_left: bool
    has_supervisors: bool

    @property
    def is_told(self) -> bool:
        """Whether all is over, and told."""
        return not (self.runs or self.has_news or self.is_writing)


class Leaving:
    """The end of one worker.

    :param farewell: seconds for which goodbye is said once all is told; and reports are told once nothing runs, if it
        is in a hurry. After that they are left to the next worker that begins here.
    :ivar phase: where it is.
    """

    def __init__(self, farewell: float) -> None:
        self._farewell = farewell
        self._is_hurried = False
        self._late_at = math.inf
        self.phase = Phase.WORKING

    @property
    def has_begun(self) -> bool:
        """Whether no work is taken any more."""
        return self.phase is not Phase.WORKING

    @property
    def is_silent(self) -> bool:
        """Whether nothing is to be said any more."""
        return self.phase in (Phase.ENDING, Phase.OVER)

    @property
    def due(self) -> float:
        """Until when answers are waited for, in monotonic seconds; ``inf`` while that is not limited."""
        return math.inf if self.is_silent else self._late_at

    def begin(self) -> None:
        """Take no work any more."""
        if self.phase is Phase.WORKING:
            self.phase = Phase.DRAINING

    def hurry(self) -> None:
        """Do not wait for good until reports can be told."""
        self._is_hurried = True

    def step(self, now: float, left: Remains) -> Phase | None:
        """The phase that begins now; None when none does. What its beginning changes may let the next one begin.

        :param now: in monotonic seconds.
        """
        if self._late_at == math.inf and (left.is_told or (self._is_hurried and not left.runs)):
            self._late_at = now + self._farewell
        following = self._following(left, is_late=now >= self._late_at)
        if following is not None:
            self.phase = following
        return following

    def _following(self, left: Remains, *, is_late: bool) -> Phase | None:
        match self.phase:
            case Phase.DRAINING if left.is_told and left.is_registered:
                return Phase.LEAVING
            case Phase.DRAINING if left.is_told or is_late:
                return Phase.ENDING
            case Phase.LEAVING if left.has_left or is_late:
                return Phase.ENDING
            case Phase.ENDING if left.has_news or not left.has_supervisors:
                return Phase.OVER
        return None
