"""What a backfill does next: begin some of its runs, hold back what is left, or end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import ceil

from clockmill.state.states import BackfillState, RunState


class ReprocessBehavior(StrEnum):
    """What becomes of dates that have a run already; a run that is not over is never touched."""

    NONE = "none"  #: they are left as they are
    FAILED = "failed"  #: failed runs are run again
    COMPLETED = "completed"  #: failed and successful runs are run again


_STOP_AT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(%?)")


@dataclass(frozen=True, slots=True)
class StopAt:
    """How many failed runs hold back the rest: a number, or a share of all runs of the backfill.

    :param amount: above 0; with ``is_percentage``, 100 at most.
    """

    amount: Decimal
    is_percentage: bool

    @classmethod
    def parse(cls, text: str) -> StopAt:
        """What ``5`` or ``10%`` means.

        :raises ValueError: when it means nothing; says what to write.
        """
        match = _STOP_AT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is neither a number such as 5 nor a percentage such as 10%")
        amount, is_percentage = Decimal(match[1]), bool(match[2])
        if amount == 0:
            raise ValueError(f"{text!r} is no number of failures: it must be more than 0")
        if is_percentage and amount > 100:
            raise ValueError(f"{text!r} is no number of failures: it is more than 100%")
        if not is_percentage and amount != int(amount):
            raise ValueError(f"{text!r} must be a whole number, or a percentage such as 10%")
        return cls(amount, is_percentage)

    @property
    def text(self) -> str:
        """What :meth:`parse` reads."""
        return f"{self.amount:f}%" if self.is_percentage else f"{self.amount:f}"

    def failures(self, run_count: int) -> int:
        """The number of failed runs at which a backfill of ``run_count`` runs is held back."""
        return ceil(self.amount * run_count / 100) if self.is_percentage else int(self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillFacts:
    """How the runs of a backfill stand.

    :param has_queued: whether a run waits for its turn.
    :param running: how many run.
    :param failed: how many failed, of those that count; None when nobody asks how many.
    :param canary: the states of its first runs, as many as its canary has; a failed one that counts no more is left
        out. None when it has no canary.
    """

    has_queued: bool
    running: int
    failed: int | None = None
    canary: Sequence[RunState] | None = None


@dataclass(frozen=True, slots=True)
class BackfillStep:
    """What follows.

    :param begin: how many queued runs may begin, the first ones first; None for any number.
    :param pause: why what is left is to be held back, or empty.
    :param is_over: all of its runs are over.
    """

    begin: int | None = 0
    pause: str = ""
    is_over: bool = False


def next_step(
    facts: BackfillFacts, *, max_active_runs: int | None, stop_at: StopAt | None, run_count: int
) -> BackfillStep:
    """What a running backfill does next, whose runs have all been made.

    Nothing is held back when nothing is left: a backfill whose last run fails is over.

    :param run_count: how many runs it has.
    """
    if not facts.has_queued:
        return BackfillStep(is_over=facts.running == 0)
    most = stop_at.failures(run_count) if stop_at else None
    if most is not None and facts.failed is not None and facts.failed >= most:
        return BackfillStep(pause=f"{facts.failed} of {run_count} runs failed; it stops at {most}")
    room = None if max_active_runs is None else max(0, max_active_runs - facts.running)
    if facts.canary is None:
        return BackfillStep(begin=room)
    failed = sum(state is RunState.FAILED for state in facts.canary)
    if failed:
        return BackfillStep(pause=f"{failed} of the first {len(facts.canary)} runs, its canary, failed")
    if all(state is RunState.SUCCESS for state in facts.canary):
        return BackfillStep(begin=room)
    queued = sum(state is RunState.QUEUED for state in facts.canary)
    return BackfillStep(begin=queued if room is None else min(queued, room))


def ending(failed: int, run_count: int) -> tuple[BackfillState, str]:
    """How a backfill ends whose runs are all over, and why."""
    if failed:
        return BackfillState.FAILED, f"{failed} of {run_count} runs failed"
    return BackfillState.SUCCESS, "" if run_count else "there was nothing to run"
