"""Move runs on: one transaction takes what ended, what became due and what may begin, and hands out new work.

This is the heart of the scheduler. A finished task, the tasks that it makes ready and their attempts are committed
together, so a crash at any moment leaves either all of it or nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from clockmill.clock import parse_iso
from clockmill.events import EventKind
from clockmill.executors.base import Started
from clockmill.protocols import AttemptReport
from clockmill.scheduler.agenda import Agenda
from clockmill.scheduler.log_notes import write_notes
from clockmill.scheduler.steps.admit import Admit
from clockmill.scheduler.steps.callbacks import Callbacks, call_for_decided, call_for_run, has_ended
from clockmill.scheduler.steps.collect import Inbox
from clockmill.scheduler.steps.deadlines import begin_deadlines, is_watched, judge_deadlines
from clockmill.scheduler.steps.fail_fast import fail_fast
from clockmill.scheduler.steps.mailbox import Mailbox
from clockmill.scheduler.steps.past import Past, give_way
from clockmill.scheduler.steps.reports import Ended, Reports
from clockmill.scheduler.steps.run_requests import hold_dags_asked_for, make_requested
from clockmill.scheduler.steps.start_runs import pause_if_failing, runs_to_start, start_run
from clockmill.scheduler.steps.timers import begin_due_tries, time_out
from clockmill.scheduler.steps.triggers import go_on
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import Effects, Workspace
from clockmill.state import FINISHED_RUN_STATES, AttemptState, Outcome, RunState, TaskState
from clockmill.storage.attempts import (
    Beginning,
    attempts_by_id,
    live_attempts_of_runs,
    mark_started,
    stopping_attempts,
)
from clockmill.storage.deadlines import runs_with_due
from clockmill.storage.engine import CommitUnknown, Connection, DatabaseUnavailable
from clockmill.storage.events import append
from clockmill.storage.runs import running_revisions, runs_due
from clockmill.storage.transitions import stop_attempts
from clockmill.storage.triggers import runs_with_fired, runs_with_late
from clockmill.storage.wakeup import TRIGGERERS, wake

log = logging.getLogger(__name__)

#: Runs that changed elsewhere and are looked at in one transaction.
_STALE_BATCH = 200


@dataclass
class Outcomes:
    """What a pass found.

    :param more: whether there is more to do at once.
    :param next_due: the first timer that it set, or None.
    :param finished_runs: how many runs ended, so that others may begin in their place.
    :param stopping: the attempts that are to be stopped; None when nobody looked.
    :param failing_dags: DAGs of which a run failed, and that may have to be paused for that.
    """

    more: bool = False
    next_due: datetime | None = None
    finished_runs: int = 0
    stopping: set[str] | None = None
    failing_dags: set[str] = field(default_factory=set)

    def wake_at(self, moment: datetime | None) -> None:
        """Look again at ``moment`` at the latest."""
        self.next_due = min(filter(None, (moment, self.next_due)), default=None)


class Advance:
    """Applies news to runs and admits what becomes ready."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._reports = Reports(workspace.settings.core.crash_budget)
        self._callbacks = Callbacks(workspace)
        self._mailbox = Mailbox(workspace)
        self._admit = Admit(workspace, self._callbacks)
        self._past = Past(workspace.views)
        self._poisoned: dict[int, int] = {}
        self._told: set[str] = set()

    def run_once(self, inbox: Inbox, agenda: Agenda) -> Outcomes:
        """One pass. What it takes from the inbox is gone from there when this returns.

        A batch that fails for a reason that will not pass is done again item by item. A report that fails alone is the
        culprit, and its task fails with that reason instead; a run that fails alone is left aside until it changes.
        """
        try:
            outcomes = self._commit(dict(inbox.reports), list(inbox.started), agenda)
        except (CommitUnknown, DatabaseUnavailable):
            raise
        except Exception:
            log.exception("a batch of %d reports was refused, trying its parts one by one", len(inbox.reports))
            self._one_by_one(inbox)
            self._set_aside(agenda)
            outcomes = Outcomes(more=True)
        inbox.reports.clear()
        inbox.started.clear()
        return outcomes

    def _set_aside(self, agenda: Agenda) -> None:
        """Look at the runs that changed elsewhere one at a time, and leave aside those that cannot be worked on."""
        if not agenda.stale:
            return
        for ident, revision in self._space.database.read(running_revisions):
            if self._space.views.revision(ident) == revision or self._poisoned.get(ident) == revision:
                continue
            try:
                self._commit({}, [], Agenda(queued=False, timers=False, only=frozenset({ident})))
            except (CommitUnknown, DatabaseUnavailable):
                raise
            except Exception:
                log.exception("run %d cannot be worked on and is left aside until it changes", ident)
                self._poisoned[ident] = revision

    def _one_by_one(self, inbox: Inbox) -> None:
        agenda = Agenda(stale=False, queued=False, timers=False)
        for ident, (name, report) in list(inbox.reports.items()):
            try:
                self._commit({ident: (name, report)}, [], agenda)
            except (CommitUnknown, DatabaseUnavailable):
                raise
            except Exception as error:
                log.exception("the report of attempt %s cannot be stored", ident)
                self._fail(ident, name, _unstorable(report, error), agenda)
            del inbox.reports[ident]

    def _fail(self, ident: str, name: str, failed: AttemptReport, agenda: Agenda) -> None:
        """Let the task of a report that cannot be stored fail; when even that is refused, its run is to blame.

        The supervisor keeps the report then, because nobody acknowledges it.
        """
        try:
            self._commit({ident: (name, failed)}, [], agenda)
        except (CommitUnknown, DatabaseUnavailable):
            raise
        except Exception:
            log.exception("the run of attempt %s cannot be worked on", ident)

    def _commit(
        self,
        reports: dict[str, tuple[str, AttemptReport]],
        started: list[tuple[str, Started]],
        agenda: Agenda,
    ) -> Outcomes:
        now = self._space.clock.now()

        def work(connection: Connection) -> tuple[Effects, Outcomes]:
            return self._work(connection, reports, started, agenda, now)

        effects, outcomes = self._space.database.write(work)
        self._space.views.committed()
        self._told = (self._told if outcomes.stopping is None else outcomes.stopping) | effects.told_to_stop()
        self._callbacks.is_due = effects.calls_wait
        for ident, (name, _) in reports.items():
            effects.acknowledged.setdefault(name, []).append(ident)
        effects.perform(self._space)
        write_notes(self._space.settings.logs_folder, self._space.clock, effects.log_notes)
        if outcomes.failing_dags:
            self._space.database.write(lambda connection: pause_if_failing(connection, outcomes.failing_dags, now))
        if effects.triggers:
            wake(self._space.database, self._space.settings.run_folder, TRIGGERERS)
        return outcomes

    def _work(
        self,
        connection: Connection,
        reports: dict[str, tuple[str, AttemptReport]],
        started: list[tuple[str, Started]],
        agenda: Agenda,
        now: datetime,
    ) -> tuple[Effects, Outcomes]:
        views = self._space.views
        views.begin()
        effects, outcomes = Effects(calls_wait=agenda.stale), Outcomes()
        asks = hold_dags_asked_for(connection, (report for _, report in reports.values()))
        # DAGs are held in one order: the runs that wait for their turn have it in the pass after this one.
        starting = runs_to_start(connection, now) if agenda.queued and not asks else []
        swaps = self._past.swaps(connection, agenda) if not starting and not asks else {}
        late, retrying = runs_due(connection, now) if agenda.timers else ([], [])
        stale = self._stale(connection, outcomes, agenda.only) if agenda.stale else []
        firing = self._firing(connection, outcomes, agenda, now)
        following = self._past.due(connection, agenda, self._poisoned)
        watched = {*starting, *swaps.values(), *self._with_deadline(connection, agenda, now)}
        outcomes.more |= asks
        attempts = attempts_by_id(connection, reports) if reports else {}
        began = mark_started(connection, _starts(started)) if started else []
        wanted = {row.dag_run_id for row in attempts.values() if row.callback_id is None} | watched
        wanted = wanted.union(starting, late, retrying, stale, firing, following)
        wanted |= {beginning.dag_run_id for beginning in began} | {*swaps, *swaps.values()}
        held = views.hold(connection, wanted)

        for ident in starting + give_way(held, swaps):
            start_run(held[ident], now)
            begin_deadlines(connection, held[ident], now)
        stops = [ident for run in late if run in held for ident in time_out(held[run], now)]
        for ident in retrying:
            if ident in held:
                begin_due_tries(held[ident], now)
        if firing:
            go_on(connection, {ident: held[ident] for ident in firing if ident in held}, now)
        for beginning in began:
            self._note_start(held[beginning.dag_run_id], beginning)
        ended = [Ended(report, attempts[ident]) for ident, (_, report) in reports.items() if ident in attempts]
        ended, requested = make_requested(connection, ended, held, effects, now)
        if ended:
            self._take_in(connection, ended, held, effects, outcomes, now)
        self._stop(connection, stops, held, effects, "the run is over")
        if agenda.stale:
            outcomes.stopping = self._stop_unwanted(connection, effects)
        watched |= self._settle(connection, held.values(), effects, outcomes, now)
        outcomes.wake_at(judge_deadlines(connection, held, watched, effects, now))
        outcomes.more |= self._hand_out(connection, effects, now)
        outcomes.more |= self._past.follow(connection, views.touched())
        requested.perform(connection, now)
        self._mailbox.clear(connection, reports, (event.attempt_id for _, event in started))
        append(connection, effects.events)
        return effects, outcomes

    def _take_in(
        self,
        connection: Connection,
        ended: list[Ended],
        views: dict[int, RunView],
        effects: Effects,
        outcomes: Outcomes,
        now: datetime,
    ) -> None:
        calls = [(item.report, item.attempt) for item in ended if item.attempt.callback_id is not None]
        tasks = [item for item in ended if item.attempt.callback_id is None]
        self._reports.apply(connection, tasks, views, effects, now)
        self._callbacks.apply(connection, calls, effects, now)
        # A run may wait for what was stopped to be gone.
        outcomes.more |= any(item.attempt.state is AttemptState.STOPPING for item in ended)
        outcomes.wake_at(effects.next_timeout)

    def _with_deadline(self, connection: Connection, agenda: Agenda, now: datetime) -> list[int]:
        """The runs that have a deadline to be looked at."""
        return self._workable(runs_with_due(connection, now), agenda) if agenda.timers else []

    def _stale(self, connection: Connection, outcomes: Outcomes, only: frozenset[int] | None) -> list[int]:
        known, aside = self._space.views.revision, self._poisoned
        stale = [
            ident
            for ident, revision in running_revisions(connection)
            if known(ident) != revision and aside.get(ident) != revision and (only is None or ident in only)
        ]
        outcomes.more = len(stale) > _STALE_BATCH
        return stale[:_STALE_BATCH]

    def _firing(self, connection: Connection, outcomes: Outcomes, agenda: Agenda, now: datetime) -> list[int]:
        """The runs in which a deferred task goes on."""
        found = runs_with_late(connection, now, _STALE_BATCH) if agenda.timers else []
        if agenda.stale:
            fired = runs_with_fired(connection, _STALE_BATCH)
            outcomes.more |= len(fired) == _STALE_BATCH
            found += fired
        return self._workable(found, agenda)

    def _workable(self, runs: Iterable[int], agenda: Agenda) -> list[int]:
        """Those of these runs that can be worked on in this pass."""
        return [run for run in runs if run not in self._poisoned and (agenda.only is None or run in agenda.only)]

    def _settle(
        self, connection: Connection, views: Iterable[RunView], effects: Effects, outcomes: Outcomes, now: datetime
    ) -> set[int]:
        """Write down what follows; returns the runs in which a deadline may have been met."""
        watched = set()
        for view in views:
            call_for_decided(view, view.settle(connection, now), effects, now)
            if (stops := fail_fast(view, now)) is not None:
                self._stop(connection, stops, {view.run.id: view}, effects, "fail_fast")
                view.settle(connection, now)  # teardowns may be ready now
            self._past.note(view)
            view.conclude(now)
            if view.aggregate.is_changed and view.run.state in FINISHED_RUN_STATES:
                effects.tell(EventKind.RUN_STATE, now, view.run, state=view.run.state, reason=view.run.reason)
                outcomes.finished_runs += 1
                if view.run.state is RunState.FAILED and view.plan.document.max_consecutive_failed_dag_runs:
                    outcomes.failing_dags.add(view.run.dag_id)
            if has_ended(view):
                call_for_run(view, effects, now)
            if is_watched(view):
                watched.add(view.run.id)
            outcomes.wake_at(view.aggregate.soonest_due())
            if view.aggregate.has_moved:
                view.aggregate.flush(connection)
            else:
                view.aggregate.write_tasks(connection)
        return watched

    def _hand_out(self, connection: Connection, effects: Effects, now: datetime) -> bool:
        more = self._admit.apply(connection, effects, now, self._poisoned)
        for view in self._space.views.touched():
            view.aggregate.flush(connection)
        return more

    @staticmethod
    def _note_start(view: RunView, beginning: Beginning) -> None:
        key = view.key_of(beginning.task_instance_id)
        if view.task(key).state in (TaskState.QUEUED, TaskState.RUNNING):
            view.change(key, state=TaskState.RUNNING, start_date=view.task(key).first_start or beginning.moment)

    def _stop(
        self,
        connection: Connection,
        task_instance_ids: list[int],
        views: dict[int, RunView],
        effects: Effects,
        reason: str,
    ) -> None:
        if not task_instance_ids:
            return
        stopping = set(stop_attempts(connection, task_instance_ids))
        for row in live_attempts_of_runs(connection, views):
            if row.id in stopping:
                effects.stops.setdefault(row.executor, []).append((row.id, reason))

    def _stop_unwanted(self, connection: Connection, effects: Effects) -> set[str]:
        """Tell the executors, once, of attempts that a person asked to stop, also in runs that are over by that.

        :returns: every attempt that is to be stopped.
        """
        stopping, told = stopping_attempts(connection), self._told | effects.told_to_stop()
        for ident, executor in stopping.items():
            if ident not in told and executor in self._space.executors:
                effects.stops.setdefault(executor, []).append((ident, "stopped by a person"))
        return set(stopping)


def _starts(started: Iterable[tuple[str, Started]]) -> list[tuple[str, str, datetime]]:
    return [(event.attempt_id, event.token, parse_iso(event.started_at)) for _, event in started]


def _unstorable(report: AttemptReport, error: Exception) -> AttemptReport:
    """What is told of an attempt whose report the database refuses: plain values only."""
    why = f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode().replace("\0", "")
    return AttemptReport(
        attempt_id=report.attempt_id,
        token=report.token,
        outcome=Outcome.FAILED.value,
        reason=f"Its result cannot be stored: {why[:300]}",
    )
