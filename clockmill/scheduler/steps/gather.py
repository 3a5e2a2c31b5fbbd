"""Find what a pass has to do, and hold the runs that it is about."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from clockmill.clock import parse_iso
from clockmill.executors.base import Started
from clockmill.scheduler.passes import Pass
from clockmill.scheduler.quarantine import Quarantine
from clockmill.scheduler.steps.past import Past
from clockmill.scheduler.steps.run_requests import hold_dags_asked_for
from clockmill.scheduler.steps.start_runs import runs_to_start
from clockmill.scheduler.views import Views
from clockmill.storage.attempts import attempts_by_id, mark_started
from clockmill.storage.deadlines import runs_with_due
from clockmill.storage.runs import running_revisions, runs_by_id, runs_due
from clockmill.storage.triggers import runs_with_fired, runs_with_late

#: Runs that changed elsewhere and are looked at in one transaction.
_STALE_BATCH = 200


class Gather:
    """Finds the runs of a pass.

    DAGs are held before runs, and the runs all at once, in the order of their ids: nobody can wait for another in turn.

    :param aside: runs that cannot be worked on; they are found by none of the reasons.
    """

    def __init__(self, views: Views, past: Past, aside: Quarantine[int]) -> None:
        self._views = views
        self._past = past
        self._aside = aside

    def find(self, work: Pass) -> None:
        """Fill in what is found; of the runs, nothing but the DAGs of those that begin is held after this."""
        if work.agenda.stale and self._aside:
            rows = runs_by_id(work.connection, list(self._aside))
            self._aside.compare({row.id: row.revision for row in rows})
        self._find_starting(work)
        self._find_due(work)
        self._find_changed(work)
        self._find_news(work)
        found = work.found
        work.watched = {*found.starting, *found.swaps.values(), *found.deadlines}

    def hold(self, work: Pass) -> None:
        """Lock the runs that were found."""
        work.held = self._views.hold(work.connection, work.found.runs())

    def _find_starting(self, work: Pass) -> None:
        """Queued runs that may begin.

        DAGs are held in one order: where tasks ask for runs of others, those that wait have their turn one pass later.
        """
        connection, agenda, found = work.connection, work.agenda, work.found
        asks = hold_dags_asked_for(connection, (report for _, report in work.news.reports.values()))
        work.outcomes.more |= asks
        if asks:
            return
        if agenda.queued:
            found.starting = self._workable(work, runs_to_start(connection, work.now, self._aside))
        if not found.starting:
            swaps = self._past.swaps(connection, agenda)
            found.swaps = {
                late: early for late, early in swaps.items() if len(self._workable(work, (late, early))) == 2
            }

    def _find_due(self, work: Pass) -> None:
        """Runs in which a timer went off."""
        if not work.agenda.timers:
            return
        late, retrying = runs_due(work.connection, work.now)
        found = work.found
        found.late, found.retrying = self._workable(work, late), self._workable(work, retrying)
        found.firing = self._workable(work, runs_with_late(work.connection, work.now, _STALE_BATCH))
        found.deadlines = self._workable(work, runs_with_due(work.connection, work.now))

    def _find_changed(self, work: Pass) -> None:
        """Runs that somebody else changed, or that wait for one which did."""
        connection, found = work.connection, work.found
        if work.agenda.stale:
            known = self._views.revision
            changed = [ident for ident, revision in running_revisions(connection) if known(ident) != revision]
            stale = self._workable(work, changed)
            fired = runs_with_fired(connection, _STALE_BATCH)
            found.stale = stale[:_STALE_BATCH]
            found.firing += self._workable(work, fired)
            work.outcomes.more |= len(stale) > _STALE_BATCH or len(fired) == _STALE_BATCH
        found.following = self._past.due(connection, work.agenda, self._aside)

    def _find_news(self, work: Pass) -> None:
        """The attempts that the executors told of."""
        if work.news.reports:
            work.found.attempts = attempts_by_id(work.connection, work.news.reports)
        if work.news.started:
            work.found.began = mark_started(work.connection, [_start(event) for _, event in work.news.started])

    def _workable(self, work: Pass, runs: Iterable[int]) -> list[int]:
        """Those of these runs that can be worked on in this pass."""
        only = work.agenda.only
        return [run for run in runs if run not in self._aside and (only is None or run in only)]


def _start(event: Started) -> tuple[str, str, datetime]:
    return event.attempt_id, event.token, parse_iso(event.started_at)
