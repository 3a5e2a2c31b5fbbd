"""Clear task instances of one run, so that they run again: a preview first, then exactly what it showed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from clockmill.actions.aggregate import RunAggregate
from clockmill.clock import Clock
from clockmill.errors import Conflict, NotFound
from clockmill.events import Event, EventKind
from clockmill.serde import Document, decode
from clockmill.state import FAILED_TASK_STATES, Graph, TaskKey, TaskState, descendants
from clockmill.storage.engine import Connection, Database
from clockmill.storage.events import append
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.runs import find_run, load_tasks, lock_runs
from clockmill.storage.transitions import stop_attempts
from clockmill.storage.versions import version
from clockmill.storage.xcoms import drop_xcoms

_HAS_ATTEMPT = frozenset({TaskState.QUEUED, TaskState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearRequest:
    """What to clear.

    :param task_ids: the tasks asked for; None is every task of the run.
    :param downstream: the tasks below them as well.
    :param only_failed: of these, only those that failed or could not run because of a failure.
    """

    dag_id: str
    run_id: str
    task_ids: Collection[str] | None = None
    downstream: bool = True
    only_failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearPreview:
    """Exactly what would change."""

    request: ClearRequest
    run: RunRow
    tasks: tuple[TaskRow, ...]

    @property
    def fingerprint(self) -> str:
        """Stands for the task instances and their states; applying refuses when it is another one by then."""
        shown = [(task.task_id, task.map_index, task.state, task.try_number) for task in self.tasks]
        return hashlib.sha256(repr(shown).encode()).hexdigest()


def preview_clear(connection: Connection, request: ClearRequest) -> ClearPreview:
    """Which task instances the request would clear.

    :raises NotFound: when there is no such run or task.
    """
    run = find_run(connection, request.dag_id, request.run_id)
    if run is None:
        raise NotFound("run", f"{request.dag_id} {request.run_id}")
    return _preview(connection, request, run)


def apply_clear(
    database: Database, clock: Clock, request: ClearRequest, *, fingerprint: str, actor: str
) -> ClearPreview:
    """Clear what a preview showed; running tasks are stopped first. The caller wakes the scheduler.

    :param fingerprint: of the preview.
    :raises Conflict: when what would be cleared changed since.
    """
    now = clock.now()

    def work(connection: Connection) -> ClearPreview:
        found = find_run(connection, request.dag_id, request.run_id)
        held = lock_runs(connection, [found.id]) if found else []
        if not held:
            raise NotFound("run", f"{request.dag_id} {request.run_id}")
        shown = _preview(connection, request, held[0])
        if shown.fingerprint != fingerprint:
            raise Conflict(f"The run {request.run_id!r} changed in between; look at the preview again.")
        document = decode(version(connection, held[0].version_id).document)
        clear_tasks(connection, held[0], [task.key for task in shown.tasks], document, now)
        detail = {"tasks": sorted({task.task_id for task in shown.tasks})}
        event = Event(
            kind=EventKind.TASKS_CLEARED,
            at=now,
            actor=actor,
            dag_id=request.dag_id,
            run_id=request.run_id,
            detail=detail,
        )
        append(connection, [event])
        return shown

    return database.write(work)


def clear_tasks(
    connection: Connection, run: RunRow, keys: Collection[TaskKey], document: Document, now: datetime
) -> None:
    """Clear task instances of a run whose row is held: new tries, a fresh crash budget, their XComs gone."""
    aggregate = RunAggregate(run, load_tasks(connection, run.id))
    retries = {task.task_id: task.retries for task in document.tasks}
    cleared = []
    for key in keys:
        row = aggregate.tasks[key]
        busy = row.state in _HAS_ATTEMPT or row.state is TaskState.RESTARTING
        if row.state is TaskState.NONE:
            continue
        cleared.append(row.id)
        aggregate.change_task(
            key,
            state=TaskState.RESTARTING if busy else TaskState.NONE,
            max_tries=row.try_number + retries.get(row.task_id, 0) + 1,
            crashes=0,
            due_at=None,
            leaves_out=None,
            scheduled_at=None,
            start_date=None,
            end_date=None,
            reason="cleared",
        )
    stop_attempts(connection, cleared)
    drop_xcoms(connection, cleared)
    aggregate.requeue_run(now)
    aggregate.flush(connection)


def _preview(connection: Connection, request: ClearRequest, run: RunRow) -> ClearPreview:
    graph = decode(version(connection, run.version_id).document).graph()
    wanted = _wanted(request, graph)
    tasks = [row for row in load_tasks(connection, run.id) if row.task_id in wanted and row.state is not TaskState.NONE]
    if request.only_failed:
        tasks = [row for row in tasks if row.state in FAILED_TASK_STATES]
    return ClearPreview(request=request, run=run, tasks=tuple(tasks))


def _wanted(request: ClearRequest, graph: Graph) -> set[str]:
    if request.task_ids is None:
        return set(graph)
    for task_id in request.task_ids:
        if task_id not in graph:
            raise NotFound("task", task_id, graph)
    wanted = set(request.task_ids)
    if request.downstream:
        for task_id in request.task_ids:
            wanted |= descendants(graph, task_id)
    return wanted
