"""Making the runs of a backfill, and taking back those that had not begun: a batch at a time, each a transaction.

The cursor of the backfill moves with its runs, so that whoever goes on after a crash begins where they end.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from clockmill.actions.aggregate import RunAggregate
from clockmill.actions.backfill import matching_tasks
from clockmill.actions.backfill_dates import DateAction, PlannedDate, backfill_schedule, plan_dates, ticks_of
from clockmill.actions.clear import clear_tasks
from clockmill.actions.create import new_tasks
from clockmill.clock import iso
from clockmill.events import Event, EventKind
from clockmill.serde import Document, decode
from clockmill.state import FINISHED_RUN_STATES, FINISHED_TASK_STATES, RunState, RunType, TaskState
from clockmill.state.backfill import ReprocessBehavior
from clockmill.storage.backfills import (
    LANE,
    BackfillRow,
    adopt_run,
    delete_runs,
    lock_queued_runs,
    note_progress,
    note_settled,
)
from clockmill.storage.engine import Connection
from clockmill.storage.events import append
from clockmill.storage.records import RunRow
from clockmill.storage.runs import load_tasks, lock_runs
from clockmill.storage.transitions import NewRun, create_runs
from clockmill.storage.versions import version

#: Dates dealt with in one transaction.
BATCH = 200
#: What a new run and a repeated one weigh when they have so many tasks; a batch weighs no more than BATCH.
_TASKS_PER_WEIGHT = 25
_RERUN_WEIGHT = 4


def make_batch(
    connection: Connection, row: BackfillRow, document: Document, version_id: int, now: datetime, *, actor: str
) -> int:
    """Make the next runs of a backfill whose row is held, and that of its DAG; returns how many dates were dealt with.

    :param document: the newest version of its DAG.
    :raises UsageError: when the DAG cannot be backfilled any more.
    """
    schedule = backfill_schedule(document)
    ticks = list(islice(ticks_of(schedule, row.from_date, row.to_date, after=row.cursor), BATCH + 1))
    behavior = ReprocessBehavior(row.reprocess_behavior)
    planned = plan_dates(connection, row.dag_id, ticks[:BATCH], behavior, row.created_at)
    batch = _as_many_as_fit(planned, len(document.tasks))
    chosen = set(matching_tasks(document, row.task_regex))
    why = f"--tasks {row.task_regex} of backfill {row.id} leaves it out"
    removed = {task.task_id: why for task in document.tasks if task.task_id not in chosen}
    fresh = [_new_run(row, each, version_id, now) for each in batch if each.action is DateAction.NEW]
    create_runs(connection, fresh, new_tasks(document, lane=LANE), removed)
    again = [each.dag_run_id for each in batch if each.action is DateAction.RERUN and each.dag_run_id is not None]
    repeated = [run for run in lock_runs(connection, again) if run.state in FINISHED_RUN_STATES]
    for run in repeated:
        _repeat(connection, run, row, chosen, now, actor)
    note_progress(
        connection,
        row.id,
        cursor=batch[-1].tick.logical_date if batch else row.cursor,
        runs=len(fresh) + len(repeated),
        is_settled=len(batch) == len(ticks),
    )
    return len(batch)


def _as_many_as_fit(dates: list[PlannedDate], tasks: int) -> list[PlannedDate]:
    """The first dates, as many as one transaction may take, and at least one."""
    each = max(1, tasks // _TASKS_PER_WEIGHT)
    weights = {DateAction.NEW: each, DateAction.RERUN: _RERUN_WEIGHT * each, DateAction.LEFT: 0}
    total = 0
    for number, planned in enumerate(dates):
        total += weights[planned.action]
        if total > BATCH and number:
            return dates[:number]
    return dates


def _new_run(row: BackfillRow, planned: PlannedDate, version_id: int, now: datetime) -> NewRun:
    tick = planned.tick
    return NewRun(
        dag_id=row.dag_id,
        run_id=planned.run_id,
        version_id=version_id,
        run_type=RunType.BACKFILL,
        logical_date=tick.logical_date,
        run_after=tick.run_after,
        data_interval_start=tick.start,
        data_interval_end=tick.end,
        conf=row.conf,
        queued_at=now,
        created_by=row.created_by,
        backfill_id=row.id,
    )


def _repeat(connection: Connection, run: RunRow, row: BackfillRow, chosen: set[str], now: datetime, actor: str) -> None:
    document = decode(version(connection, run.version_id).document)
    keys = [task.key for task in load_tasks(connection, run.id) if task.task_id in chosen]
    adopt_run(connection, run.id, row.id, row.conf)
    clear_tasks(connection, run, keys, document, now)
    _tell_cleared(connection, run, row.id, sorted({key.task_id for key in keys}), now, actor)


def repeat_failed(connection: Connection, run: RunRow, backfill_id: int, now: datetime, *, actor: str) -> None:
    """Run again what did not succeed in a failed run of a backfill; its row is held."""
    document = decode(version(connection, run.version_id).document)
    done = {TaskState.SUCCESS, TaskState.REMOVED}
    keys = [task.key for task in load_tasks(connection, run.id) if task.state not in done]
    clear_tasks(connection, run, keys, document, now)
    _tell_cleared(connection, run, backfill_id, sorted({key.task_id for key in keys}), now, actor)


def _tell_cleared(
    connection: Connection, run: RunRow, backfill_id: int, task_ids: list[str], now: datetime, actor: str
) -> None:
    detail = {"tasks": task_ids, "backfill": backfill_id}
    kind = EventKind.TASKS_CLEARED
    append(connection, [Event(kind=kind, at=now, actor=actor, dag_id=run.dag_id, run_id=run.run_id, detail=detail)])


def take_back(connection: Connection, row: BackfillRow, now: datetime) -> int:
    """Deal with queued runs of a cancelled backfill whose row is held, and that of its DAG; returns with how many.

    A run that was made for the backfill and never began goes, so that its date is free again. One with a history is
    kept, and fails with that reason.
    """
    runs = lock_queued_runs(connection, row.id, limit=BATCH)
    untouched = [run.id for run in runs if run.run_type is RunType.BACKFILL and run.revision == 0]
    delete_runs(connection, untouched)
    for run in runs:
        if run.id not in untouched:
            _give_up(connection, run, row, now)
    if len(runs) < BATCH:
        note_settled(connection, row.id)
    return len(runs)


def _give_up(connection: Connection, run: RunRow, row: BackfillRow, now: datetime) -> None:
    aggregate = RunAggregate(run, load_tasks(connection, run.id))
    reason = f"The backfill {row.id} was cancelled at {iso(row.ended_at or now)}, before this run began."
    for key, task in aggregate.tasks.items():
        if task.state not in FINISHED_TASK_STATES:
            aggregate.change_task(key, state=TaskState.SKIPPED, due_at=None, end_date=now, reason=reason)
    aggregate.finish_run(RunState.FAILED, now, reason)
    aggregate.flush(connection)
