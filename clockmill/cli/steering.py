"""What the web pages may change, by the same actions as the commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from clockmill.actions import clear, dags, notes, trigger
from clockmill.clock import Clock
from clockmill.storage.engine import Database
from clockmill.storage.wakeup import wake
from clockmill.webserver.hooks import ClearItem, TriggeredRun


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

    def preview_clear(
        self, dag_id: str, run_id: str, *, task_ids: Sequence[str], downstream: bool
    ) -> Sequence[ClearItem]:
        """What a clear would touch."""
        request = clear.ClearRequest(dag_id=dag_id, run_id=run_id, task_ids=task_ids, downstream=downstream)
        preview = self.database.read(lambda connection: clear.preview_clear(connection, request))
        return [ClearItem(task_id=row.task_id, map_index=row.map_index, state=row.state) for row in preview.tasks]

    def clear(self, dag_id: str, run_id: str, *, task_ids: Sequence[str]) -> int:
        """Clear exactly these tasks of a run; returns how many task instances that are."""
        request = clear.ClearRequest(dag_id=dag_id, run_id=run_id, task_ids=task_ids, downstream=False)
        preview = self.database.read(lambda connection: clear.preview_clear(connection, request))
        done = clear.apply_clear(self.database, self.clock, request, fingerprint=preview.fingerprint, actor=self.actor)
        self._wake()
        return len(done.tasks)

    def _wake(self) -> None:
        wake(self.database, self.run_folder)
