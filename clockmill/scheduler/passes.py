"""One pass over the runs: what it was given, what it found, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from clockmill.scheduler.agenda import Agenda
from clockmill.scheduler.steps.collect import Inbox
from clockmill.scheduler.steps.run_requests import Requested
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import Effects
from clockmill.storage.attempts import Beginning
from clockmill.storage.engine import Connection
from clockmill.storage.records import AttemptRow
from clockmill.storage.wakeup import Call


@dataclass(slots=True)
class Outcomes:
    """What the service has to know of a pass.

    :param more: whether there is more to do at once.
    :param next_due: the first timer that it set, or None.
    :param finished_runs: how many runs ended, so that others may begin in their place.
    :param look_again: when to look again at what somebody else held just now, or None.
    :param call: what the other schedulers are to be called for.
    """

    more: bool = False
    next_due: datetime | None = None
    finished_runs: int = 0
    look_again: datetime | None = None
    call: Call = Call.NONE

    def wake_at(self, moment: datetime | None) -> None:
        """Look again at ``moment`` at the latest."""
        self.next_due = min(filter(None, (moment, self.next_due)), default=None)


@dataclass(slots=True)
class Found:
    """What there is to do, before any run is held: the row ids of runs, each kind for its own reason.

    :param attempts: the attempts that ended, by id.
    :param began: the attempts that began.
    :param starting: queued runs that may begin.
    :param swaps: by runs that give way, the queued ones that begin in their stead.
    :param late: runs whose time is up.
    :param retrying: those in which a try is due.
    :param stale: those that somebody else changed.
    :param firing: those in which a deferred task goes on.
    :param following: those that can go on by what became of the run before.
    :param deadlines: those that have a deadline to be looked at.
    """

    attempts: dict[str, AttemptRow] = field(default_factory=dict)
    began: list[Beginning] = field(default_factory=list)
    starting: list[int] = field(default_factory=list)
    swaps: dict[int, int] = field(default_factory=dict)
    late: list[int] = field(default_factory=list)
    retrying: list[int] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)
    firing: list[int] = field(default_factory=list)
    following: set[int] = field(default_factory=set)
    deadlines: list[int] = field(default_factory=list)

    def runs(self) -> set[int]:
        """Every run that has to be held."""
        by_news = {row.dag_run_id for row in self.attempts.values() if row.callback_id is None}
        by_news |= {beginning.dag_run_id for beginning in self.began}
        swapped = {*self.swaps, *self.swaps.values()}
        by_time = {*self.late, *self.retrying, *self.firing, *self.deadlines}
        return by_news | swapped | by_time | self.following | {*self.starting, *self.stale}


@dataclass(slots=True, kw_only=True)
class Pass:
    """One transaction over some runs.

    :param news: what the executors told; a pass takes nothing out of it.
    :param held: the runs that it works on, locked, by row id.
    :param watched: the runs in which a deadline may be met or missed.
    :param requested: what tasks ask for, and is done last.
    :param stopping: the attempts that are to be stopped; None when nobody looked.
    :param has_peers: whether there are other schedulers, who may have to be called.
    :param has_changed_room: with peers: whether tasks became ready, or some ended and may have given something free.
    :param has_stopped: whether attempts are to be stopped, which another scheduler may look after.
    :param failing_dags: DAGs of which a run failed, and that may have to be paused for that.
    """

    connection: Connection
    agenda: Agenda
    news: Inbox
    now: datetime
    effects: Effects
    outcomes: Outcomes = field(default_factory=Outcomes)
    found: Found = field(default_factory=Found)
    held: dict[int, RunView] = field(default_factory=dict)
    watched: set[int] = field(default_factory=set)
    requested: Requested = field(default_factory=Requested)
    stopping: set[str] | None = None
    has_peers: bool = False
    has_changed_room: bool = False
    has_stopped: bool = False
    failing_dags: set[str] = field(default_factory=set)

    def views(self, runs: Iterable[int]) -> dict[int, RunView]:
        """Those of some runs that are held: one may have been deleted since it was found."""
        return {ident: self.held[ident] for ident in runs if ident in self.held}
