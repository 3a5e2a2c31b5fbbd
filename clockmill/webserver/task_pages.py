"""The page of one task instance, and its logs as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Response, request, send_file, stream_with_context

from clockmill.actions.explain import Explanation, explain
from clockmill.actions.explain.workers import silence_of
from clockmill.logs.merged import Cursor
from clockmill.logs.store import LogsUnavailable
from clockmill.state import FINISHED_TASK_STATES, TaskState
from clockmill.storage import run_extras as extras
from clockmill.storage import run_pages as reads
from clockmill.storage.events import list_events
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.run_pages import AttemptLine
from clockmill.storage.runs import task_ids_known
from clockmill.storage.task_lines import MappedLine, TaskLine, lines_named, list_instances
from clockmill.webserver import logtail, task_log, xcoms
from clockmill.webserver.errors import PageNotFound
from clockmill.webserver.rendering import LIVE_MILLIS, choice, integer, page
from clockmill.webserver.run_pages import EVENTS_SHOWN, find_run
from clockmill.webserver.site import current_site

blueprint = Blueprint("tasks", __name__, url_prefix="/dags/<dag_id>/runs/<run_id>/tasks/<task_id>")

NEIGHBOURS = 60
INSTANCES_PER_PAGE = 200
#: Why a task is in one of these, its row alone does not tell.
_WAITING = frozenset(TaskState) - FINISHED_TASK_STATES - {TaskState.RUNNING}
_DOWNLOAD_BYTES = 1 << 20


def _find_task(run: RunRow, task_id: str) -> TaskRow:
    map_index = integer("map_index", lowest=-1)
    database = current_site().database
    task = database.read(lambda c: reads.find_task(c, run.id, task_id, map_index))
    if task is None:
        raise PageNotFound("task", task_id, database.read(lambda c: task_ids_known(c, run.id)))
    return task


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a task instance with its attempts; more than one attempt when some were lost."""

    number: int
    attempts: list[AttemptLine]

    @property
    def state(self) -> str:
        return self.attempts[-1].state


def _tries(attempts: list[AttemptLine]) -> list[Try]:
    numbers = dict.fromkeys(attempt.try_number for attempt in attempts)
    return [Try(number, [one for one in attempts if one.try_number == number]) for number in numbers]


@blueprint.get("")
def show_task(dag_id: str, run_id: str, task_id: str) -> str:
    """One task instance: log, XComs, tries; ``?map_index=`` chooses the instance, ``?try=`` the try."""
    site = current_site()
    run = find_run(dag_id, run_id)
    task = _find_task(run, task_id)
    attempts, xcom_lines, deadlines, callbacks, waits, events = site.database.read(
        lambda c: (
            reads.list_attempts(c, task.id, newest=task_log.ATTEMPTS_SHOWN),
            reads.list_xcoms(c, task.id, shown_chars=xcoms.SHOWN_CHARS),
            extras.list_deadlines(c, run.id, task_id=task_id),
            extras.list_callbacks(c, run.id, task_instance_id=task.id),
            extras.waits_of(c, [task.id] if task.state is TaskState.DEFERRED else []),
            list_events(c, dag_id=dag_id, run_id=run_id, task_id=task_id, limit=EVENTS_SHOWN),
        )
    )
    version = site.documents.get(run.version_id)
    upstream, downstream = _neighbours(run, task_id)
    tries = _tries(attempts)
    number = integer("try", lowest=1) or (tries[-1].number if tries else 1)
    log = task_log.tail(run, task, number, attempts) if tries else None
    return page(
        "task.html",
        live=None if task.state in FINISHED_TASK_STATES else LIVE_MILLIS,
        run=run,
        task=task,
        definition=version.tasks.get(task_id) if version else None,
        upstream=upstream,
        downstream=downstream,
        why=_why(run, task) if task.state in _WAITING else None,
        silence=_silence(task, attempts),
        attempts=attempts[::-1],
        is_cut=len(attempts) == task_log.ATTEMPTS_SHOWN,
        deadlines=deadlines,
        callbacks=callbacks,
        wait=waits.get(task.id),
        tries=tries,
        number=number,
        log=log,
        lines=logtail.lines(logtail.text_of(log.chunk.data)) if log and log.chunk else [],
        xcoms=[xcoms.shown(line) for line in xcom_lines],
        events=events,
    )


def _why(run: RunRow, task: TaskRow) -> Explanation:
    """What the task waits for, who holds it, or when it is due."""
    site = current_site()
    return site.database.read(
        lambda c: explain(
            c,
            run.dag_id,
            run.run_id,
            task.task_id,
            task.map_index,
            default_executor=site.options.default_executor,
            executors=site.options.executors,
            now=site.clock.now(),
            workers=site.options.workers,
        )
    )


def _silence(task: TaskRow, attempts: list[AttemptLine]) -> str | None:
    """That nothing was heard for a while of who runs the task."""
    site = current_site()
    holder = attempts[-1].worker if attempts and task.state is TaskState.RUNNING else None
    if holder is None:
        return None
    now, workers = site.clock.now(), site.options.workers
    return site.database.read(lambda c: silence_of(c, holder, now, workers))


def _neighbours(run: RunRow, task_id: str) -> tuple[list[TaskLine], list[TaskLine]]:
    """The tasks right above and right below, in the version that the run is pinned to."""
    version = current_site().documents.get(run.version_id)
    node = version.document.graph().get(task_id) if version else None
    if node is None:
        return [], []
    wanted = {*node.upstream, *node.downstream}
    database = current_site().database
    found = database.read(lambda c: lines_named(c, run.id, wanted, limit=2 * NEIGHBOURS))
    above = [one for one in found if one.task_id in node.upstream]
    return above, [one for one in found if one.task_id in node.downstream]


@blueprint.get("/instances")
def list_all_instances(dag_id: str, run_id: str, task_id: str) -> str:
    """The instances of a mapped task; ``?state=`` filters, ``?after=`` goes on behind a map index."""
    site = current_site()
    run = find_run(dag_id, run_id)
    state = choice("state", [member.value for member in TaskState], "")
    after = integer("after", lowest=-1)
    after = -2 if after is None else after
    lines, found = site.database.read(
        lambda c: (
            lines_named(c, run.id, [task_id], limit=1),
            list_instances(c, run.id, task_id, state=state, after=after, limit=INSTANCES_PER_PAGE + 1),
        )
    )
    if not lines:
        raise PageNotFound("task", task_id, site.database.read(lambda c: task_ids_known(c, run.id)))
    line, shown = lines[0], found[:INSTANCES_PER_PAGE]
    return page(
        "instances.html",
        live=LIVE_MILLIS if line.end_date is None else None,
        run=run,
        task_id=task_id,
        counts=line.counts if isinstance(line, MappedLine) else {},
        total=line.total if isinstance(line, MappedLine) else 1,
        instances=shown,
        state=state,
        after=after,
        next_after=shown[-1].map_index if len(found) > len(shown) else None,
    )


@blueprint.get("/log")
def read_log(dag_id: str, run_id: str, task_id: str) -> Response:
    """The log of one try as text: ``?try=``, ``?offset=``; without an offset, all of it as a file.

    An offset is 0 or what ``X-Log-Offset`` said of where to go on; ``X-Log-Complete`` is there when no more will come.
    """
    run = find_run(dag_id, run_id)
    task = _find_task(run, task_id)
    number = integer("try", lowest=1) or 1
    offset = request.args.get("offset")
    if not offset:
        return _download(run, task, number, f"{dag_id}.{run_id}.{task_id}.{number}.log")
    try:
        chunk, is_complete = task_log.chunk_at(run, task, number, Cursor.parse(offset))
    except LogsUnavailable as error:
        return Response(str(error), 503, mimetype="text/plain")
    response = Response(logtail.text_of(chunk.data), mimetype="text/plain")
    response.headers["X-Log-Offset"] = str(chunk.next)
    if is_complete:
        response.headers["X-Log-Complete"] = "1"
    return response


def _download(run: RunRow, task: TaskRow, number: int, name: str) -> Response:
    """All of a log as a file."""
    logs, path = current_site().options.logs, task_log.path_of(run, task, number)
    try:
        log = logs.find(path)
    except LogsUnavailable as error:
        return Response(str(error), 503, mimetype="text/plain")
    if not log.size and not log.whole:
        raise PageNotFound("log", name)
    if log.path is not None:
        return send_file(log.path, mimetype="text/plain", as_attachment=True, download_name=name, max_age=0)
    response = Response(stream_with_context(_pieces(path)), mimetype="text/plain")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def _pieces(path: Path) -> Iterator[bytes]:
    at, logs = Cursor(), current_site().options.logs
    try:
        while (chunk := logs.chunk(path, at, growing=False, limit=_DOWNLOAD_BYTES)[1]).data:
            yield chunk.data
            at = chunk.next
    except LogsUnavailable as error:
        yield f"*** the rest is missing here: {error}\n".encode()
