"""What the web pages may change, by the same actions as the commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from clockmill.actions import change, dags, notes, trigger
from clockmill.actions.change import Preview, Request
from clockmill.clock import Clock
from clockmill.storage.engine import Database
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

    def _wake(self) -> None:
        wake(self.database, self.run_folder)
