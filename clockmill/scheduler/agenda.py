"""What one pass of a scheduler has to look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Agenda:
    """What one pass has to look at, besides the inbox.

    :param stale: look for runs that somebody else changed.
    :param queued: look for queued runs that may begin.
    :param timers: look for retries and time-outs that are due.
    :param offered: another scheduler has work that it has no room for: callbacks, or tasks, which every pass looks for.
    :param only: look at no other runs than these, to find the one that makes trouble.
    """

    stale: bool = True
    queued: bool = True
    timers: bool = True
    offered: bool = False
    only: frozenset[int] | None = None
