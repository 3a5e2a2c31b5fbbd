"""Deal with supervisors that came or went, and with the attempts that went with them."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from clockmill.clock import iso
from clockmill.executors.base import SupervisorUp
from clockmill.protocols import AttemptReport
from clockmill.scheduler.steps.callbacks import Callbacks
from clockmill.scheduler.steps.collect import Inbox
from clockmill.scheduler.steps.workloads import workload_for
from clockmill.scheduler.workspace import Effects, Workspace
from clockmill.state import AttemptState, Outcome
from clockmill.storage.attempts import live_attempts_of
from clockmill.storage.engine import Connection
from clockmill.storage.records import AttemptRow
from clockmill.storage.supervisors import bury, register, with_live_attempts


class Rescue:
    """Makes sure that each live attempt has a supervisor that knows of it."""

    def __init__(self, workspace: Workspace, epoch: int) -> None:
        self._space = workspace
        self._epoch = epoch

    def run_once(self, inbox: Inbox) -> None:
        """Take in which supervisors are up and which are down.

        What a dead supervisor held goes into the inbox as lost. What a living one should hold and does not, because
        its message never arrived, is sent again: it cannot have started.
        """
        for name, up in inbox.up:
            self._greet(name, up, inbox)
        for name, down in inbox.down:
            self._mourn(name, down.supervisor_id, down.reason, inbox)
        inbox.up.clear()
        inbox.down.clear()

    def look_for_dead(self, host: str, inbox: Inbox) -> None:
        """Find attempts on this host whose supervisor is surely dead, though nobody saw it die."""
        for name, executor in self._space.executors.items():
            for ident in self._space.database.read(partial(with_live_attempts, executor=name, host=host)):
                if executor.is_dead(ident):
                    self._mourn(name, ident, "Its supervisor died.", inbox)

    def _greet(self, name: str, up: SupervisorUp, inbox: Inbox) -> None:
        info = up.supervisor
        now = self._space.clock.now()

        def work(connection: Connection) -> Effects:
            register(
                connection,
                ident=info.id,
                executor=name,
                host=info.host,
                boot_id=info.boot_id,
                pid=info.pid,
                slots=info.slots,
                resources=info.resources,
                epoch=self._epoch,
                now=now,
            )
            return self._send_again(connection, name, up, inbox, now)

        effects = self._space.database.write(work)
        self._space.views.committed()
        effects.perform(self._space)

    def _send_again(self, connection: Connection, name: str, up: SupervisorUp, inbox: Inbox, now: datetime) -> Effects:
        effects = Effects()
        self._space.views.begin()
        live = [row for row in live_attempts_of(connection, up.supervisor.id) if row.id not in inbox.reports]
        unwanted = [row.id for row in live if row.state is AttemptState.STOPPING and row.id in up.holds]
        if unwanted:  # what it was told while it was out of reach, it did not hear
            effects.stops[name] = [(ident, "stopped by a person") for ident in unwanted]
        missing = [row for row in live if row.id not in up.holds]
        views = self._space.views.hold(connection, {row.dag_run_id for row in missing if row.callback_id is None})
        Callbacks(self._space).send_again(connection, name, [row for row in missing if row.callback_id], effects)
        for row in missing:
            if row.callback_id is not None:
                continue
            if row.state is AttemptState.STOPPING:
                inbox.reports[row.id] = (name, _report(row, Outcome.STOPPED, "stopped before it began", now))
                continue
            view = views[row.dag_run_id]
            task = view.task(view.key_of(row.task_instance_id))
            elements = self._space.handover.elements(connection, view, task)
            workload = workload_for(view, task, row.id, row.token, self._space.settings, elements)
            effects.submit(name, up.supervisor.id, workload)
        return effects

    def _mourn(self, name: str, supervisor_id: str, reason: str, inbox: Inbox) -> None:
        now = self._space.clock.now()

        def work(connection: Connection) -> list[AttemptRow]:
            bury(connection, supervisor_id)
            return live_attempts_of(connection, supervisor_id)

        for row in self._space.database.write(work):
            if row.id not in inbox.reports:
                inbox.reports[row.id] = (name, _report(row, Outcome.LOST, reason, now))


def _report(row: AttemptRow, outcome: Outcome, reason: str, now: datetime) -> AttemptReport:
    return AttemptReport(attempt_id=row.id, token=row.token, outcome=outcome.value, reason=reason, ended_at=iso(now))
