"""What workers have reported to the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from clockmill.clock import iso
from clockmill.executors.base import Started
from clockmill.protocols import AttemptReport
from clockmill.scheduler.steps.collect import Inbox
from clockmill.scheduler.workspace import Workspace
from clockmill.state import Outcome
from clockmill.storage.engine import Connection
from clockmill.storage.worker_reports import STARTED, forget_reports, waiting_reports
from clockmill.storage.workers import unclaimed_stops

_AT_ONCE = 500


class Mailbox:
    """Takes reports from where workers leave them, and where is said what became of supervisors that were given up."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._brokered = workspace.brokered

    def read(self, inbox: Inbox, aside: Collection[int]) -> bool:
        """Put into the inbox what no scheduler has applied yet; whether there may be more.

        :param aside: runs that cannot be worked on: their reports wait for them.
        """
        reports, stops = self._space.database.read(
            lambda connection: (waiting_reports(connection, _AT_ONCE, aside), unclaimed_stops(connection))
        )
        self._space.had_mail = self._space.had_mail or bool(reports)
        for name, kind, body in reports:
            if kind == STARTED:
                inbox.started.append((name, Started(**body)))
            else:
                inbox.reports.setdefault(body["attempt_id"], (name, AttemptReport.from_json(body)))
        for ident, token, name in stops:
            if name in self._brokered:
                inbox.reports.setdefault(ident, (name, self._never_began(ident, token)))
        return len(reports) == _AT_ONCE

    def clear(self, connection: Connection, ended: Iterable[str], started: Iterable[str]) -> None:
        """Forget, with the transaction that applies them, the reports of these attempts that came from here."""
        if self._brokered or self._space.had_mail:
            forget_reports(connection, list(ended), list(started))

    def _never_began(self, ident: str, token: str) -> AttemptReport:
        return AttemptReport(
            attempt_id=ident,
            token=token,
            outcome=Outcome.STOPPED.value,
            reason="stopped before it began",
            ended_at=iso(self._space.clock.now()),
        )
