"""Work on backfills: make their runs a batch at a time, hold back what is left, see that they end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime

from clockmill.actions.backfill_progress import step_of
from clockmill.actions.backfill_runs import make_batch, take_back
from clockmill.actions.backfill_steer import hold_backfill, move
from clockmill.errors import DatabaseError, NotFound, UsageError
from clockmill.scheduler.quarantine import Quarantine
from clockmill.scheduler.workspace import ACTOR, Workspace
from clockmill.state import BackfillState, RunState
from clockmill.state.backfill import ending
from clockmill.storage.backfills import (
    BackfillRow,
    backfills_with_queued_runs,
    count_runs,
    lock_backfills,
    queued_of_backfill,
    running_backfills,
    unsettled_backfills,
)
from clockmill.storage.engine import Connection
from clockmill.storage.versions import dag_state

log = logging.getLogger(__name__)

Work = Callable[[Connection, BackfillRow, datetime], int]


class Backfills:
    """Everything is decided from the rows, under the lock of the backfill, so that any scheduler can do it."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._aside: Quarantine[int] = Quarantine()

    def run_once(self) -> int:
        """Deal with each backfill that needs something: one batch of runs, or another state, one transaction each.

        :returns: how much was changed; there may be more to do.
        """
        todo = self._space.database.read(self._look)
        return sum(self._apart(row, work) for row, work in todo if not self._aside.holds(row.id, row))

    def _look(self, connection: Connection) -> list[tuple[BackfillRow, Work]]:
        todo: list[tuple[BackfillRow, Work]] = [(row, self._settle) for row in unsettled_backfills(connection)]
        for row in running_backfills(connection):
            step = step_of(connection, row)
            if step.is_over or step.pause:
                todo.append((row, _conclude))
        return todo

    def _apart(self, row: BackfillRow, work: Work) -> int:
        """Do it; a backfill that cannot be worked on is paused with that reason, and disturbs no other."""
        ident, now = row.id, self._space.clock.now()
        try:
            return self._space.database.write(lambda connection: _held(connection, ident, work, now))
        except DatabaseError:
            raise
        except NotFound as error:
            log.info("backfill %d is left alone: %s", ident, error)
            return 0
        except Exception as error:
            log.exception("backfill %d cannot be worked on and is paused", ident)
            told = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
            self._hold_back(row, told, now)
            return 0

    def _hold_back(self, row: BackfillRow, reason: str, now: datetime) -> None:
        """Pause a backfill; one that cannot be paused is left aside until it changes."""
        try:
            if self._space.database.write(lambda connection: _held(connection, row.id, _pause_for(reason), now)):
                return
        except NotFound:
            return
        self._aside.put(row.id, row)

    def _settle(self, connection: Connection, row: BackfillRow, now: datetime) -> int:
        if row.is_settled or row.state is BackfillState.PAUSED:
            return 0
        if row.state is not BackfillState.RUNNING:
            return take_back(connection, row, now)
        version_id = dag_state(connection, row.dag_id).version_id
        if version_id is None:
            raise UsageError(f"The DAG {row.dag_id!r} has no version.")
        document = self._space.plans.get(connection, version_id).document
        make_batch(connection, row, document, version_id, now)
        return 1


def _held(connection: Connection, ident: int, work: Work, now: datetime) -> int:
    return work(connection, hold_backfill(connection, ident), now)


def _conclude(connection: Connection, row: BackfillRow, now: datetime) -> int:
    """Pause a backfill that is held back by its own rules, end one whose runs are over."""
    if row.state is not BackfillState.RUNNING or not row.is_settled:
        return 0
    step = step_of(connection, row)
    if step.pause:
        move(connection, row, BackfillState.PAUSED, now, actor=ACTOR, reason=step.pause)
    elif step.is_over:
        state, reason = ending(count_runs(connection, row.id, RunState.FAILED), row.run_count)
        move(connection, row, state, now, actor=ACTOR, reason=reason, ended_at=now)
    return 1


def _pause_for(reason: str) -> Work:
    def work(connection: Connection, row: BackfillRow, now: datetime) -> int:
        if row.state is not BackfillState.RUNNING:
            return 0
        move(connection, row, BackfillState.PAUSED, now, actor=ACTOR, reason=reason)
        return 1

    return work


def runs_of_backfills(connection: Connection, backfill_ids: list[int], room: int, aside: Collection[int]) -> list[int]:
    """The queued runs of backfills of one DAG that may begin now; the row of the DAG is held.

    :param backfill_ids: those that have queued runs, read before the DAG was held.
    :param room: how many more runs of the DAG may begin.
    :param aside: runs that cannot be worked on, and that others pass by.
    """
    chosen: list[int] = []
    for row in lock_backfills(connection, backfill_ids):
        begin = _may_begin(connection, row)
        most = room - len(chosen) if begin is None else min(begin, room - len(chosen))
        if most > 0:
            limit = most + len(aside)
            queued = queued_of_backfill(connection, row.id, run_backwards=row.run_backwards, limit=limit)
            chosen += [ident for ident in queued if ident not in aside][:most]
    return chosen


def _may_begin(connection: Connection, row: BackfillRow) -> int | None:
    """How many runs of a backfill may begin; None for any number.

    A queued run of one that is over was cleared by a person, and nothing bounds it but its DAG.
    """
    if not row.is_settled or row.state is BackfillState.PAUSED:
        return 0
    if row.state is not BackfillState.RUNNING:
        return None
    step = step_of(connection, row)
    return 0 if step.pause else step.begin


def waiting_backfills(connection: Connection) -> dict[str, list[int]]:
    """The backfills with queued runs that may begin, by the DAG that they are of."""
    found: dict[str, list[int]] = {}
    for ident, dag_id in backfills_with_queued_runs(connection).items():
        found.setdefault(dag_id, []).append(ident)
    return found
