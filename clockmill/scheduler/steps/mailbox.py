"""What workers have reported to the database, and whether they are still there."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from functools import partial

from clockmill.clock import iso
from clockmill.executors.base import Started
from clockmill.protocols import AttemptReport
from clockmill.scheduler.steps.collect import Inbox
from clockmill.scheduler.workspace import Workspace
from clockmill.state import Outcome
from clockmill.storage.engine import Connection
from clockmill.storage.workers import (
    STARTED,
    Beat,
    beats,
    forget_reports,
    give_up_silent,
    unclaimed_stops,
    waiting_reports,
)

log = logging.getLogger(__name__)

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
        self._space.has_mail = self._space.has_mail or bool(reports)
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
        if self._brokered or self._space.has_mail:
            forget_reports(connection, list(ended), list(started))

    def _never_began(self, ident: str, token: str) -> AttemptReport:
        return AttemptReport(
            attempt_id=ident,
            token=token,
            outcome=Outcome.STOPPED.value,
            reason="stopped before it began",
            ended_at=iso(self._space.clock.now()),
        )


class Leases:
    """Gives up workers, and supervisors of other hosts, whose beat stands still.

    No clocks are compared: one of them is gone when this scheduler has itself read the same number of its beat for a
    whole lease, without one read that failed.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._seen: dict[str, tuple[Beat, float]] = {}

    def forget(self) -> None:
        """A read failed: every lease begins anew."""
        self._seen.clear()

    def run_once(self) -> bool:
        """Look at all beats; whether somebody was given up."""
        if not self._space.takes_mail:
            return False
        now = self._space.clock.monotonic()
        found = self._space.database.read(lambda connection: beats(connection, self._space.brokered))
        self._seen = {ident: self._since(ident, beat, now) for ident, beat in found.items()}
        expired = [ident for ident, (beat, since) in self._seen.items() if now - since >= self._length(beat)]
        gone = [ident for ident in expired if self._give_up(ident, self._seen.pop(ident)[0])]
        return bool(gone)

    def _length(self, beat: Beat) -> float:
        return self._space.settings.workers.lease_seconds if beat.lease is None else beat.lease

    def _give_up(self, ident: str, beat: Beat) -> bool:
        seconds = self._length(beat)
        what = "worker" if beat.lease is None else "supervisor"
        reason = f"Its {what} was silent for {seconds:g} s."
        done = self._space.database.write(partial(give_up_silent, ident=ident, beat=beat.number, reason=reason))
        if done:
            log.warning("%s %s has been silent for %g s and is given up", what, ident, seconds)
        return done

    def _since(self, ident: str, beat: Beat, now: float) -> tuple[Beat, float]:
        known = self._seen.get(ident)
        return known if known is not None and known[0] == beat else (beat, now)
