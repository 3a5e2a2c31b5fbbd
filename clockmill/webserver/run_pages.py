"""The page of one run, and the preview of a clear."""

from __future__ import annotations

from flask import Blueprint, request

from clockmill.errors import UsageError
from clockmill.state import FAILED_TASK_STATES, FINISHED_RUN_STATES, FINISHED_TASK_STATES, TaskState
from clockmill.storage import run_pages as reads
from clockmill.storage.events import list_events
from clockmill.storage.records import RunRow
from clockmill.storage.runs import find_run as read_run
from clockmill.webserver.dag_pages import find_dag
from clockmill.webserver.errors import PageNotFound
from clockmill.webserver.rendering import LIVE_MILLIS, choice, integer, page
from clockmill.webserver.site import current_site

blueprint = Blueprint("runs", __name__)

TASKS_PER_PAGE = 500
EVENTS_SHOWN = 50
MOST_CLEARED = 10_000


def find_run(dag_id: str, run_id: str) -> RunRow:
    """The run that an address names.

    :raises PageNotFound: when there is no such DAG or run.
    """
    run = current_site().database.read(lambda c: read_run(c, dag_id, run_id))
    if run is None:
        find_dag(dag_id)
        raise PageNotFound("run", run_id)
    return run


@blueprint.get("/dags/<dag_id>/runs/<run_id>")
def show_run(dag_id: str, run_id: str) -> str:
    """One run: its task instances in order; ``?state=`` filters, ``?after=`` goes on."""
    site = current_site()
    run = find_run(dag_id, run_id)
    state = choice("state", [member.value for member in TaskState], "")
    after = integer("after", lowest=1) or 0
    tasks, counts, events = site.database.read(
        lambda c: (
            reads.list_tasks(c, run.id, states=[state] if state else (), after=after, limit=TASKS_PER_PAGE + 1),
            reads.count_states(c, run.id),
            list_events(c, dag_id=dag_id, run_id=run_id, limit=EVENTS_SHOWN),
        )
    )
    shown = tasks[:TASKS_PER_PAGE]
    return page(
        "run.html",
        live=None if _is_settled(run, counts) else LIVE_MILLIS,
        run=run,
        version=site.documents.get(run.version_id),
        tasks=shown,
        counts=[(member.value, counts[member]) for member in TaskState if member in counts],
        state=state,
        after=after,
        next_after=shown[-1].id if len(tasks) > len(shown) else None,
        events=events,
    )


def _is_settled(run: RunRow, counts: dict[str, int]) -> bool:
    """A failed run may still have tasks that are being stopped."""
    return run.state in FINISHED_RUN_STATES and all(TaskState(state) in FINISHED_TASK_STATES for state in counts)


@blueprint.get("/dags/<dag_id>/runs/<run_id>/clear")
def preview_clear(dag_id: str, run_id: str) -> str:
    """What a clear would touch: ``?task=`` once for each task, ``?failed=1`` for every failed one."""
    site = current_site()
    run = find_run(dag_id, run_id)
    wanted = request.args.getlist("task") or _failed_tasks(run)
    downstream = request.args.get("downstream", "1") == "1"
    items = site.actions.preview_clear(dag_id, run_id, task_ids=wanted, downstream=downstream)
    return page(
        "clear.html",
        run=run,
        wanted=wanted,
        downstream=downstream,
        items=items,
        task_ids=list(dict.fromkeys(item.task_id for item in items)),
        finished={state.value for state in FINISHED_TASK_STATES},
    )


def _failed_tasks(run: RunRow) -> list[str]:
    if request.args.get("failed") != "1":
        raise UsageError("Choose at least one task of the run, then clear.")
    found = current_site().database.read(
        lambda c: reads.list_tasks(c, run.id, states=FAILED_TASK_STATES, limit=MOST_CLEARED)
    )
    if not found:
        raise UsageError("No task of this run has failed, so there is nothing to clear.")
    return list(dict.fromkeys(task.task_id for task in found))
