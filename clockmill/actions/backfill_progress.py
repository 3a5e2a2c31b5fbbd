"""How far a backfill has come, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clockmill.state import FINISHED_RUN_STATES, BackfillState, RunState
from clockmill.state.backfill import BackfillFacts, BackfillStep, StopAt, next_step
from clockmill.storage.backfill_pages import count_states
from clockmill.storage.backfills import (
    BackfillRow,
    count_failed_since,
    count_runs,
    first_runs,
    queued_of_backfill,
    started_first,
)
from clockmill.storage.engine import Connection


def step_of(connection: Connection, row: BackfillRow) -> BackfillStep:
    """What a running backfill does next, whose runs are all made."""
    stop_at = StopAt.parse(row.stop_at) if row.stop_at else None
    facts = BackfillFacts(
        has_queued=bool(queued_of_backfill(connection, row.id, run_backwards=False, limit=1)),
        running=count_runs(connection, row.id, RunState.RUNNING),
        failed=None if stop_at is None else count_failed_since(connection, row.id, row.resumed_at),
        canary=None if row.canary is None else _canary(connection, row, row.canary),
    )
    return next_step(facts, max_active_runs=row.max_active_runs, stop_at=stop_at, run_count=row.run_count)


def _canary(connection: Connection, row: BackfillRow, size: int) -> list[RunState]:
    """The states of the first runs, without those that failed before a person resumed all the same."""
    found = first_runs(connection, row.id, run_backwards=row.run_backwards, limit=size)
    since = row.resumed_at
    return [
        state
        for state, ended in found
        if state is not RunState.FAILED or since is None or (ended is not None and ended > since)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillProgress:
    """How the runs of a backfill stand.

    :param runs: how many are in each state.
    :param ends_at: when it will be over if it goes on as until now; None when nobody can tell.
    """

    row: BackfillRow
    runs: dict[RunState, int]
    ends_at: datetime | None

    @property
    def total(self) -> int:
        """How many runs there are."""
        return sum(self.runs.values())

    @property
    def finished(self) -> int:
        """How many of them are over."""
        return sum(self.runs[state] for state in FINISHED_RUN_STATES)


def progress_of(connection: Connection, row: BackfillRow, now: datetime) -> BackfillProgress:
    """How the runs of a backfill stand."""
    runs = count_states(connection, [row.id])[row.id]
    progress = BackfillProgress(row=row, runs=runs, ends_at=None)
    begun = started_first(connection, row.id, run_backwards=row.run_backwards)
    if row.state is not BackfillState.RUNNING or not row.is_settled or begun is None or not progress.finished:
        return progress
    each = (now - begun) / progress.finished
    ends_at = now + each * (progress.total - progress.finished)
    return BackfillProgress(row=row, runs=runs, ends_at=ends_at)
