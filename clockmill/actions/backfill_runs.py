"""Making the runs of a backfill, and taking back those that had not begun: a batch at a time, each a transaction.

The cursor of the backfill moves with its runs, so that whoever goes on after a crash begins where they end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import islice

from clockmill.actions.aggregate import RunAggregate
from clockmill.actions.backfill import matching_tasks
from clockmill.actions.backfill_dates import DateAction, PlannedDate, backfill_schedule, plan_dates, ticks_of
from clockmill.actions.carry_out import carry_out
from clockmill.actions.change import do_to_runs
from clockmill.actions.clear import Clear
from clockmill.actions.create import new_tasks
from clockmill.actions.plan import RunPlan, Scene, cleared, scenes
from clockmill.actions.rerun import Rerun
from clockmill.actions.selection import RunSelection, TaskSelection, setups_and_teardowns
from clockmill.serde import Document
from clockmill.state import FINISHED_RUN_STATES, RunEnding, RunState, RunType, TaskKey, TaskState
from clockmill.state.backfill import ReprocessBehavior
from clockmill.storage.backfills import (
    LANE,
    BackfillRow,
    adopt_runs,
    delete_runs,
    lock_queued_runs,
    note_progress,
    note_settled,
)
from clockmill.storage.engine import Connection
from clockmill.storage.records import RunRow
from clockmill.storage.runs import load_tasks, lock_runs
from clockmill.storage.transitions import NewRun, create_runs

#: Dates dealt with in one transaction.
BATCH = 200
#: What a new run and a repeated one weigh when they have so many tasks; a batch weighs no more than BATCH.
_TASKS_PER_WEIGHT = 25
_RERUN_WEIGHT = 4


def make_batch(connection: Connection, row: BackfillRow, document: Document, version_id: int, now: datetime) -> int:
    """Make the next runs of a backfill whose row is held, and that of its DAG; returns how many dates were dealt with.

    :param document: the newest version of its DAG.
    :raises UsageError: when the DAG cannot be backfilled any more.
    """
    schedule = backfill_schedule(document)
    ticks = list(islice(ticks_of(schedule, row.from_date, row.to_date, after=row.cursor), BATCH + 1))
    behavior = ReprocessBehavior(row.reprocess_behavior)
    planned = plan_dates(connection, row.dag_id, ticks[:BATCH], behavior, row.created_at)
    batch = _as_many_as_fit(planned, len(document.tasks))
    chosen = chosen_tasks(document, row.task_regex)
    why = f"--tasks {row.task_regex} of backfill {row.id} leaves it out"
    removed = {task.task_id: why for task in document.tasks if task.task_id not in chosen}
    fresh = [_new_run(row, each, version_id, now) for each in batch if each.action is DateAction.NEW]
    create_runs(connection, fresh, new_tasks(document, lane=LANE), removed)
    again = [each.dag_run_id for each in batch if each.action is DateAction.RERUN and each.dag_run_id is not None]
    note_progress(
        connection,
        row.id,
        cursor=batch[-1].tick.logical_date if batch else row.cursor,
        runs=len(fresh) + _repeat(connection, row, again, now),
        is_settled=len(batch) == len(ticks),
    )
    return len(batch)


def chosen_tasks(document: Document, pattern: str) -> set[str]:
    """The tasks that a backfill with ``--tasks`` runs: those that match, with their setups and teardowns.

    :raises UsageError: when none matches.
    """
    found = set(matching_tasks(document, pattern))
    return found.union(*(setups_and_teardowns(document.graph(), task_id) for task_id in found))


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


def _repeat(connection: Connection, row: BackfillRow, ids: list[int], now: datetime) -> int:
    """Send finished runs back to the queue, pinned to the newest version, as runs of this backfill; returns how many.

    One in which there is nothing to run again stays as it is.
    """
    tasks = TaskSelection(patterns=(row.task_regex,) if row.task_regex else ())
    request = Clear(runs=RunSelection(dag_id=row.dag_id), tasks=tasks, newest_version=True)
    plans = []
    over = [run for run in lock_runs(connection, ids) if run.state in FINISHED_RUN_STATES]
    for scene in scenes(connection, row.dag_id, _mine(row, over)):
        plan = _with_left_out(scene, request.plan(scene), row.task_regex)
        if plan.to is RunState.QUEUED:
            plans.append(plan)
    adopt_runs(connection, [plan.run.id for plan in plans], row.id, row.conf)
    for plan in plans:
        carry_out(connection, replace(plan, verb=f"cleared for backfill {row.id}"), row.created_by, now)
    return len(plans)


def _mine(row: BackfillRow, runs: Iterable[RunRow]) -> list[RunRow]:
    """These runs, each as a run of the backfill."""
    return [replace(run, backfill_id=row.id, conf=row.conf or run.conf) for run in runs]


def _with_left_out(scene: Scene, plan: RunPlan, pattern: str) -> RunPlan:
    """The plan with the tasks that ``--tasks`` of an earlier backfill left out of the run, and this one does not."""
    document = scene.versions.document(plan.version_id)
    chosen, planned = chosen_tasks(document, pattern), {change.row.id for change in plan.tasks}
    back = tuple(
        cleared(row, document.task(row.task_id).retries, is_busy=False)
        for row in scene.rows
        if row.state is TaskState.REMOVED and row.key == TaskKey(row.task_id) and row.task_id in chosen
        if row.id not in planned
    )
    return replace(plan, tasks=(*plan.tasks, *back), to=RunState.QUEUED) if back else plan


def repeat_failed(connection: Connection, row: BackfillRow, ids: list[int], now: datetime, *, actor: str) -> None:
    """Run again what did not succeed in failed runs of a backfill whose row is held."""
    request = Rerun(runs=RunSelection(dag_id=row.dag_id), from_failure=True)
    failed = [run for run in lock_runs(connection, ids) if run.state is RunState.FAILED]
    do_to_runs(connection, request, _mine(row, failed), now, actor=actor)


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
    reason = f"run stopped: the backfill {row.id} was cancelled before this run began"
    aggregate.give_up(now, reason, RunEnding.BACKFILL)
    aggregate.flush(connection)
