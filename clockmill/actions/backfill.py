"""Ask for a backfill: runs of a DAG for a stretch of the past. The scheduler makes them, see :mod:`.backfill_runs`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import Any

from clockmill.actions.backfill_dates import (
    DateAction,
    PlannedDate,
    backfill_schedule,
    count_actions,
    instants,
    plan_dates,
    ticks_of,
)
from clockmill.actions.conf import checked_conf
from clockmill.actions.schedules import refuse_run_type
from clockmill.clock import Clock, iso
from clockmill.errors import Conflict, NotFound, UsageError, did_you_mean
from clockmill.events import Event, EventKind
from clockmill.serde import Document, decode
from clockmill.state import RunType
from clockmill.state.backfill import ReprocessBehavior, StopAt
from clockmill.storage.backfills import overlapping_backfill
from clockmill.storage.dags import lock_dags
from clockmill.storage.engine import Connection, Database
from clockmill.storage.events import append
from clockmill.storage.transitions import NewBackfill, create_backfill
from clockmill.storage.versions import dag_ids, dag_state, version

#: More dates than this are refused; a DAG of every minute has so many in ten weeks.
MAX_DATES = 100_000
_LONGEST_PATTERN = 500
#: The largest number that a column of the database takes.
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRequest:
    """What a person wants.

    :param first: the first logical date: an instant, or a local time or day of the DAG's zone.
    :param last: the last one, included; a day without a time is the whole day.
    :param max_active_runs: how many of its runs run at a time, besides the DAG's own limit; None for no other.
    :param tasks: a regular expression that is searched for in task ids; empty for all tasks.
    :param canary: so many runs go first, and the others only when all of them succeeded.
    :param stop_at: ``5`` or ``10%`` failed runs hold back the rest; empty for never.
    """

    dag_id: str
    first: date
    last: date
    max_active_runs: int | None = None
    run_backwards: bool = False
    reprocess_behavior: ReprocessBehavior = ReprocessBehavior.NONE
    tasks: str = ""
    conf: Mapping[str, Any] = field(default_factory=dict)
    canary: int | None = None
    stop_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPreview:
    """Exactly what a backfill would do, if it was asked for now.

    :param first: the first instant that is meant, in UTC.
    :param task_ids: the tasks that run.
    :param is_paused: the DAG is paused, so that no run begins until somebody unpauses it.
    """

    request: BackfillRequest
    first: datetime
    last: datetime
    dates: tuple[PlannedDate, ...]
    task_ids: tuple[str, ...]
    is_paused: bool

    @property
    def counts(self) -> dict[DateAction, int]:
        """How many dates there are of each kind."""
        return count_actions(self.dates)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedBackfill:
    """A backfill that was made."""

    id: int
    preview: BackfillPreview


def preview_backfill(connection: Connection, request: BackfillRequest, now: datetime) -> BackfillPreview:
    """What the request would do.

    :raises NotFound: when there is no such DAG.
    :raises UsageError: when something about the request is no good.
    """
    state = dag_state(connection, request.dag_id)
    if state.version_id is None:
        raise NotFound("DAG", request.dag_id, dag_ids(connection))
    if not state.is_active:
        raise UsageError(f"The file of DAG {request.dag_id!r} is gone, so it cannot be backfilled.")
    document = decode(version(connection, state.version_id).document)
    schedule = backfill_schedule(document)
    _check_document(request, document)
    first, last = instants(request.first, request.last, document.timezone)
    ticks = list(islice(ticks_of(schedule, first, last), MAX_DATES + 1))
    if len(ticks) > MAX_DATES:
        raise UsageError(f"These are more than {MAX_DATES:,} dates: ask for a shorter stretch at a time.")
    if not ticks:
        raise UsageError(_no_dates(document, first, last))
    preview = BackfillPreview(
        request=request,
        first=first,
        last=last,
        dates=tuple(plan_dates(connection, request.dag_id, ticks, request.reprocess_behavior, now)),
        task_ids=tuple(matching_tasks(document, request.tasks)),
        is_paused=state.is_paused,
    )
    _check_numbers(request, preview)
    return preview


def request_backfill(database: Database, clock: Clock, request: BackfillRequest, *, actor: str) -> CreatedBackfill:
    """Note a backfill, which the scheduler then works on; the caller wakes it.

    :raises NotFound: when there is no such DAG.
    :raises Conflict: when a backfill of the DAG that is not over has one of the dates.
    :raises UsageError: when something about the request is no good.
    """
    now = clock.now()

    def work(connection: Connection) -> CreatedBackfill:
        dag_state(connection, request.dag_id)  # refuses a DAG that is not there
        lock_dags(connection, [request.dag_id])
        preview = preview_backfill(connection, request, now)
        other = overlapping_backfill(connection, request.dag_id, preview.first, preview.last)
        if other is not None:
            raise Conflict(
                f"The backfill {other.id} of DAG {request.dag_id!r} is {other.state} and has some of these dates: "
                f"it goes from {iso(other.from_date)} to {iso(other.to_date)}. Wait for it, or cancel it."
            )
        ident = create_backfill(connection, _new(preview, actor, now))
        append(connection, [_event(ident, preview, actor, now)])
        return CreatedBackfill(id=ident, preview=preview)

    return database.write(work)


def matching_tasks(document: Document, pattern: str) -> list[str]:
    """The tasks of a DAG in whose ids ``pattern`` is found; all of them when it is empty.

    :raises UsageError: when it is no regular expression, too long, or found nowhere.
    """
    ids = [task.task_id for task in document.tasks]
    if len(pattern) > _LONGEST_PATTERN or not pattern.isprintable():
        raise UsageError(
            f"The regular expression {pattern[:40]!r} has more than {_LONGEST_PATTERN} characters, or some that "
            "cannot be shown."
        )
    try:
        expression = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}.") from None
    found = [task_id for task_id in ids if expression.search(task_id)]
    if ids and not found:
        raise UsageError(
            f"No task of DAG {document.dag_id!r} has an id in which {pattern!r} is found.{did_you_mean(pattern, ids)}"
        )
    return found


def _check_document(request: BackfillRequest, document: Document) -> None:
    refuse_run_type(document, RunType.BACKFILL)
    document.run_params(checked_conf(request.conf))
    past = [task.task_id for task in document.tasks if task.depends_on_past]
    if request.run_backwards and past:
        raise UsageError(
            f"The DAG {request.dag_id!r} cannot be backfilled backwards: the task {past[0]!r} depends on its past."
        )


def _check_numbers(request: BackfillRequest, preview: BackfillPreview) -> None:
    if request.max_active_runs is not None and not 1 <= request.max_active_runs <= _LARGEST:
        raise UsageError(f"max_active_runs must be between 1 and {_LARGEST}, not {request.max_active_runs}.")
    _parsed_stop_at(request)
    if request.canary is None:
        return
    runs = len(preview.dates) - preview.counts[DateAction.LEFT]
    if not 1 <= request.canary <= max(runs, 1):
        raise UsageError(f"The canary must be between 1 and {runs}, the number of runs, not {request.canary}.")


def _parsed_stop_at(request: BackfillRequest) -> str:
    try:
        return StopAt.parse(request.stop_at).text if request.stop_at else ""
    except ValueError as error:
        raise UsageError(f"stop_at: {error}.") from None


def _no_dates(document: Document, first: datetime, last: datetime) -> str:
    bounds = [("starts", document.start_date), ("ends", document.end_date)]
    told = " and ".join(f"{verb} at {iso(moment)}" for verb, moment in bounds if moment is not None)
    lies = f"; it {told}" if told else ""
    return (
        f"The schedule {document.schedule!r} of DAG {document.dag_id!r} has no date between {iso(first)} "
        f"and {iso(last)}{lies}."
    )


def _new(preview: BackfillPreview, actor: str, now: datetime) -> NewBackfill:
    request = preview.request
    return NewBackfill(
        dag_id=request.dag_id,
        from_date=preview.first,
        to_date=preview.last,
        max_active_runs=request.max_active_runs,
        run_backwards=request.run_backwards,
        reprocess_behavior=request.reprocess_behavior.value,
        task_regex=request.tasks,
        conf=checked_conf(request.conf),
        canary=request.canary,
        stop_at=_parsed_stop_at(request),
        created_at=now,
        created_by=actor,
    )


def _event(ident: int, preview: BackfillPreview, actor: str, now: datetime) -> Event:
    counts = {action.value: number for action, number in preview.counts.items()}
    detail = {"backfill": ident, "from": iso(preview.first), "to": iso(preview.last), **counts}
    return Event(kind=EventKind.BACKFILL_CREATED, at=now, actor=actor, dag_id=preview.request.dag_id, detail=detail)
