"""What the pages ask of the rest of the program to change something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from clockmill.actions.backfill import BackfillPreview, BackfillRequest
from clockmill.actions.change import Preview, Request
from clockmill.storage.pools import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggeredRun:
    """The answer to a trigger.

    :param created: false when a run with that id was there already.
    """

    run_id: str
    created: bool


class Actions(Protocol):
    """Every change that a person can make on the pages.

    Each commits before it returns and wakes the scheduler. They raise :class:`~clockmill.errors.UsageError` when the
    person asked for something that cannot be done, and the page shows its sentence.
    """

    def trigger(
        self,
        dag_id: str,
        *,
        conf: dict[str, Any],
        run_id: str | None,
        note: str = "",
        logical_date: datetime | None = None,
    ) -> TriggeredRun:
        """Make a manual run; one that has that id already is the answer.

        :raises ParamError: when values for the parameters do not fit.
        """
        ...

    def write_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Give a run its note, in place of the one before."""
        ...

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause a DAG."""
        ...

    def preview(self, wanted: Request) -> Preview:
        """What :meth:`change` would do to runs; changes nothing."""
        ...

    def change(self, wanted: Request, fingerprint: str) -> Preview:
        """Do what a preview with that fingerprint showed, or refuse because something else would change by now."""
        ...

    def preview_backfill(self, wanted: BackfillRequest) -> BackfillPreview:
        """What :meth:`create_backfill` would do to every date; changes nothing."""
        ...

    def create_backfill(self, wanted: BackfillRequest) -> int:
        """Make a backfill; the scheduler works on it. Returns its id."""
        ...

    def pause_backfill(self, ident: int) -> None:
        """Let no more runs of a backfill begin."""
        ...

    def resume_backfill(self, ident: int, *, rerun_failed: bool) -> None:
        """Let a backfill go on with what is left, with its failed runs when ``rerun_failed`` says so."""
        ...

    def cancel_backfill(self, ident: int) -> None:
        """End a backfill: what has not begun never does."""
        ...

    def set_pool(self, changed: Pool) -> None:
        """Make a pool, or change one."""
        ...
