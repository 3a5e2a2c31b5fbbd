"""What the web pages may change, by the same actions as the commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from clockmill.actions import backfill, backfill_steer, change, dags, notes, trigger
from clockmill.actions.backfill import BackfillPreview, BackfillRequest
from clockmill.actions.change import Preview, Request
from clockmill.clock import Clock
from clockmill.storage import pools
from clockmill.storage.engine import Database
from clockmill.storage.pools import Pool
from clockmill.storage.wakeup import wake
from clockmill.webserver.hooks import TriggeredRun


@dataclass(frozen=True)
class WebActions:
    """Every change commits, then wakes the schedulers.

    :param actor: who acts, as events tell it.
    """

    database: Database
    clock: Clock
    run_folder: Path
    actor: str = "web"

    def trigger(
        self,
        dag_id: str,
        *,
        conf: dict[str, Any],
        run_id: str | None,
        note: str = "",
        logical_date: datetime | None = None,
    ) -> TriggeredRun:
        """Queue a run."""
        done = trigger.trigger_run(
            self.database,
            self.clock,
            dag_id,
            actor=self.actor,
            conf=conf,
            run_id=run_id,
            note=note,
            logical_date=logical_date,
        )
        self._wake()
        return TriggeredRun(run_id=done.run.run_id, created=done.created)

    def write_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Give a run its note."""
        notes.write_note(self.database, self.clock, dag_id, run_id, note, actor=self.actor)

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """Pause a DAG or let it go on."""
        dags.set_paused(self.database, self.clock, dag_id, paused=paused, actor=self.actor)
        self._wake()

    def preview(self, wanted: Request) -> Preview:
        """What a change would do to runs."""
        return self.database.read(lambda connection: change.preview(connection, wanted))

    def change(self, wanted: Request, fingerprint: str) -> Preview:
        """Change what a preview showed."""
        done = change.apply(self.database, self.clock, wanted, fingerprint=fingerprint, actor=self.actor)
        self._wake()
        return done

    def preview_backfill(self, wanted: BackfillRequest) -> BackfillPreview:
        """What a backfill would do to every date."""
        now = self.clock.now()
        return self.database.read(lambda connection: backfill.preview_backfill(connection, wanted, now))

    def create_backfill(self, wanted: BackfillRequest) -> int:
        """Make a backfill."""
        done = backfill.request_backfill(self.database, self.clock, wanted, actor=self.actor)
        self._wake()
        return done.id

    def pause_backfill(self, ident: int) -> None:
        """Hold a backfill back."""
        backfill_steer.pause_backfill(self.database, self.clock, ident, actor=self.actor)

    def resume_backfill(self, ident: int, *, rerun_failed: bool) -> None:
        """Let a backfill go on."""
        backfill_steer.resume_backfill(self.database, self.clock, ident, actor=self.actor, rerun_failed=rerun_failed)
        self._wake()

    def cancel_backfill(self, ident: int) -> None:
        """End a backfill."""
        backfill_steer.cancel_backfill(self.database, self.clock, ident, actor=self.actor)
        self._wake()

    def set_pool(self, changed: Pool) -> None:
        """Make or change a pool."""
        now = self.clock.now()
        self.database.write(lambda connection: pools.set_pools(connection, [changed], at=now, actor=self.actor))
        self._wake()

    def _wake(self) -> None:
        wake(self.database, self.run_folder)
