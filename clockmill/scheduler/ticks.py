"""Which of the due ticks become runs, and which tick comes next. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from clockmill.timetables import Schedule, Tick

#: Runs made in one transaction; a long catch-up goes on in the next.
BATCH = 100
#: Dropped ticks are counted up to here: a DAG of every minute, paused for years, has millions of them.
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TickPlan:
    """What to do about a DAG that is due.

    :param make: ticks that become runs, oldest first.
    :param dropped: how many ticks before them the catch-up policy leaves out, counted up to :data:`MOST_COUNTED`.
    :param next: the tick that comes after; it may be due already.
    """

    make: tuple[Tick, ...]
    dropped: int
    first_dropped: datetime | None
    last_dropped: datetime | None
    next: Tick | None


def plan_ticks(schedule: Schedule, due: Tick, now: datetime, *, catchup: bool, batch: int = BATCH) -> TickPlan:
    """Decide about the ticks from ``due`` until ``now``.

    With catch-up each of them becomes a run. Without, only the newest does: after a downtime or a pause nobody wants
    the old ones, and the newest stands for them.
    """
    if catchup:
        make = [due, *islice(schedule.ticks_between(due.run_after, now), batch - 1)]
        return TickPlan(
            make=tuple(make),
            dropped=0,
            first_dropped=None,
            last_dropped=None,
            next=schedule.next_after(make[-1].run_after),
        )
    newest = schedule.newest_until(now)
    if newest is None or newest.run_after <= due.run_after:
        newest = due
    missed = [] if newest is due else [due.run_after]
    later = islice(schedule.ticks_between(due.run_after, newest.run_after), MOST_COUNTED - 1)
    missed += [tick.run_after for tick in later if tick != newest]
    return TickPlan(
        make=(newest,),
        dropped=len(missed),
        first_dropped=missed[0] if missed else None,
        last_dropped=missed[-1] if missed else None,
        next=schedule.next_after(newest.run_after),
    )
