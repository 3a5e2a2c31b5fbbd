"""Move runs on: one transaction takes what ended, what became due and what may begin, and hands out new work.

This is the heart of the scheduler. A finished task, the tasks that it makes ready and their attempts are committed
together, so a crash at any moment leaves either all of it or nothing.
"""

from __future__ import annotations

import logging
from datetime import datetime

from clockmill.protocols import AttemptReport
from clockmill.scheduler.agenda import Agenda
from clockmill.scheduler.log_notes import write_notes
from clockmill.scheduler.passes import Outcomes, Pass
from clockmill.scheduler.quarantine import Quarantine
from clockmill.scheduler.steps.admit import Admit
from clockmill.scheduler.steps.callbacks import Callbacks
from clockmill.scheduler.steps.collect import Inbox
from clockmill.scheduler.steps.deadlines import begin_deadlines
from clockmill.scheduler.steps.doorbells import Doorbells
from clockmill.scheduler.steps.gather import Gather
from clockmill.scheduler.steps.mailbox import Mailbox
from clockmill.scheduler.steps.past import Past, give_way
from clockmill.scheduler.steps.peers import call_peers
from clockmill.scheduler.steps.reports import Ended, Reports
from clockmill.scheduler.steps.run_requests import make_requested
from clockmill.scheduler.steps.settle import Settle
from clockmill.scheduler.steps.start_runs import pause_if_failing, start_run
from clockmill.scheduler.steps.stops import Stops
from clockmill.scheduler.steps.timers import begin_due_tries, time_out
from clockmill.scheduler.steps.triggers import go_on
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import Effects, Workspace
from clockmill.state import AT_WORK_TASK_STATES, AttemptState, Outcome, TaskState
from clockmill.storage.attempts import Beginning
from clockmill.storage.engine import Connection, DatabaseUnavailable
from clockmill.storage.events import append
from clockmill.storage.runs import running_revisions, runs_by_id
from clockmill.storage.wakeup import TRIGGERERS, wake

log = logging.getLogger(__name__)


class Advance:
    """Applies news to runs and admits what becomes ready."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        #: The runs that cannot be worked on.
        self.aside: Quarantine[int] = Quarantine()
        self._past = Past(workspace.views)
        self._stops = Stops(workspace.executors)
        self._callbacks = Callbacks(workspace)
        self._mailbox = Mailbox(workspace)
        self._gather = Gather(workspace.views, self._past, self.aside)
        self._reports = Reports(workspace.settings.core.crash_budget)
        self._settle = Settle(self._past, self._stops)
        self._doorbells = Doorbells(workspace)
        self._admit = Admit(workspace, self._callbacks, self._doorbells)
        self._suspects: set[int] = set()

    def ring_again(self) -> None:
        """Ring for what is offered and nobody has claimed for long enough."""
        self._doorbells.ring_again()

    # --- batches, and what spoils one ----------------------------------------------------------------------------

    def run_once(self, inbox: Inbox, agenda: Agenda) -> Outcomes:
        """One pass. What it takes from the inbox is gone from there when this returns.

        A batch that fails for a reason that will not pass is done again item by item. A report that fails alone is the
        culprit, and its task fails with that reason instead; a run that fails alone is left aside until it changes.
        """
        try:
            outcomes = self._commit(Inbox(started=list(inbox.started), reports=dict(inbox.reports)), agenda)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("a batch of %d reports was refused, trying its parts one by one", len(inbox.reports))
            self._each_run_alone(self._suspects | {view.run.id for view in self._space.views.touched()})
            self._each_report_alone(inbox)
            outcomes = Outcomes(more=True)
        inbox.reports.clear()
        inbox.started.clear()
        return outcomes

    def _each_report_alone(self, inbox: Inbox) -> None:
        for ident, (name, report) in list(inbox.reports.items()):
            try:
                self._report_alone(name, report)
            except DatabaseUnavailable:
                raise
            except Exception as error:
                log.exception("the report of attempt %s cannot be stored", ident)
                self._fail(name, _unstorable(report, error))
            del inbox.reports[ident]

    def _report_alone(self, executor: str, report: AttemptReport) -> None:
        news = Inbox(reports={report.attempt_id: (executor, report)})
        self._commit(news, Agenda(stale=False, queued=False, timers=False))

    def _fail(self, executor: str, failed: AttemptReport) -> None:
        """Let the task of a report that cannot be stored fail; when even that is refused, its run is to blame.

        The supervisor keeps the report then, because nobody acknowledges it.
        """
        try:
            self._report_alone(executor, failed)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("the run of attempt %s cannot be worked on", failed.attempt_id)

    def _each_run_alone(self, suspects: set[int]) -> None:
        """Look at these runs and at those that changed one at a time; leave aside those that cannot be worked on."""
        known = self._space.views.revision
        changed = {
            ident for ident, revision in self._space.database.read(running_revisions) if known(ident) != revision
        }
        rows = self._space.database.read(lambda connection: runs_by_id(connection, sorted(suspects | changed)))
        for row in rows:
            if self.aside.holds(row.id, row.revision):
                continue
            try:
                self._commit(Inbox(), Agenda(only=frozenset({row.id})))
            except DatabaseUnavailable:
                raise
            except Exception:
                log.exception("run %d cannot be worked on and is left aside until it changes", row.id)
                self.aside.put(row.id, row.revision)

    # --- one pass ------------------------------------------------------------------------------------------------

    def _commit(self, news: Inbox, agenda: Agenda) -> Outcomes:
        now = self._space.clock.now()
        work = self._space.database.write(lambda connection: self._work(connection, news, agenda, now))
        self._space.views.committed()
        self._stops.committed(work)
        self._callbacks.is_due = work.effects.calls_wait
        for ident, (name, _) in news.reports.items():
            work.effects.acknowledged.setdefault(name, []).append(ident)
        work.effects.perform(self._space)
        write_notes(self._space.settings.logs_folder, self._space.clock, work.effects.log_notes)
        if work.failing_dags:
            self._space.database.write(lambda connection: pause_if_failing(connection, work.failing_dags, now))
        if work.effects.triggers:
            wake(self._space.database, self._space.settings.run_folder, TRIGGERERS)
        return work.outcomes

    def _work(self, connection: Connection, news: Inbox, agenda: Agenda, now: datetime) -> Pass:
        """The transaction: it may be tried several times, so what it finds is kept in a record of its own."""
        self._space.views.begin()
        effects = Effects(calls_wait=agenda.stale or agenda.offered)
        work = Pass(
            connection=connection,
            agenda=agenda,
            news=news,
            now=now,
            effects=effects,
            has_peers=self._space.has_peers,
        )
        self._gather.find(work)
        self._suspects = work.found.runs()
        self._gather.hold(work)
        self._begin_runs(work)
        self._apply(work)
        self._settle.settle(work)
        self._hand_out(work)
        call_peers(work, self._admit)
        work.outcomes.more |= self._past.follow(connection, self._space.views.touched())
        work.requested.perform(connection, now)
        self._mailbox.clear(connection, news.reports, (event.attempt_id for _, event in news.started))
        append(connection, effects.events)
        return work

    def _begin_runs(self, work: Pass) -> None:
        """Let queued runs begin."""
        for ident in work.found.starting + give_way(work.held, work.found.swaps):
            start_run(work.held[ident], work.now)
            begin_deadlines(work.connection, work.held[ident], work.now)

    def _apply(self, work: Pass) -> None:
        """Bring what happened to the task instances of the runs: time-outs before all else, for they end what runs."""
        found, now = work.found, work.now
        late = [ident for view in work.views(found.late).values() for ident in time_out(view, now)]
        for view in work.views(found.retrying).values():
            begin_due_tries(view, now)
        if found.firing:
            go_on(work.connection, work.views(found.firing), now)
        for beginning in found.began:
            _note_start(work.held[beginning.dag_run_id], beginning)
        self._take_in(work)
        self._stops.stop(work, late, work.held, "the run is over")
        if work.agenda.stale:
            self._stops.stop_unwanted(work)

    def _take_in(self, work: Pass) -> None:
        """Write how attempts ended, and what that makes of the tasks and calls that they were for."""
        connection, effects, now = work.connection, work.effects, work.now
        attempts, reports = work.found.attempts, work.news.reports
        ended = [Ended(report, attempts[ident]) for ident, (_, report) in reports.items() if ident in attempts]
        if not ended:
            return
        self._doorbells.ended(item.attempt for item in ended)
        ended, work.requested = make_requested(connection, ended, work.held, effects, now)
        calls = [(item.report, item.attempt) for item in ended if item.attempt.callback_id is not None]
        tasks = [item for item in ended if item.attempt.callback_id is None]
        self._reports.apply(connection, tasks, work.held, effects, now)
        self._callbacks.apply(connection, calls, effects, now)
        work.has_changed_room = True
        # A run may wait for what was stopped to be gone.
        work.outcomes.more |= any(item.attempt.state is AttemptState.STOPPING for item in ended)
        work.outcomes.wake_at(effects.next_timeout)

    def _hand_out(self, work: Pass) -> None:
        """Give free slots to what is ready, and write the runs as they are by then."""
        aside = self._left_alone(work)
        work.outcomes.more |= self._admit.apply(work.connection, work.effects, work.now, aside)
        for view in self._space.views.touched():
            view.aggregate.flush(work.connection)

    def _left_alone(self, work: Pass) -> set[int]:
        """The runs of which nothing is admitted."""
        aside, only = set(self.aside), work.agenda.only
        if only is not None:
            aside |= {ident for ident, _ in running_revisions(work.connection)} - only
        return aside


def _note_start(view: RunView, beginning: Beginning) -> None:
    key = view.key_of(beginning.task_instance_id)
    if view.task(key).state in AT_WORK_TASK_STATES:
        view.change(key, state=TaskState.RUNNING, start_date=view.task(key).first_start or beginning.moment)


def _unstorable(report: AttemptReport, error: Exception) -> AttemptReport:
    """What is told of an attempt whose report the database refuses: plain values only."""
    why = f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode().replace("\0", "")
    return AttemptReport(
        attempt_id=report.attempt_id,
        token=report.token,
        outcome=Outcome.FAILED.value,
        reason=f"Its result cannot be stored: {why[:300]}",
    )
