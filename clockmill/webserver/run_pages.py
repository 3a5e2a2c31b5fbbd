"""The page of one run."""

from __future__ import annotations

from flask import Blueprint

from clockmill.state import FINISHED_RUN_STATES, FINISHED_TASK_STATES, TaskState
from clockmill.storage import run_extras as extras
from clockmill.storage import run_pages as reads
from clockmill.storage.events import list_events
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.runs import find_run as read_run
from clockmill.storage.task_lines import list_lines
from clockmill.webserver.dag_pages import find_dag
from clockmill.webserver.errors import PageNotFound
from clockmill.webserver.rendering import LIVE_MILLIS, choice, integer, page
from clockmill.webserver.site import current_site

blueprint = Blueprint("runs", __name__)

TASKS_PER_PAGE = 500
EVENTS_SHOWN = 50


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
    tasks, counts, deadlines, callbacks, events = site.database.read(
        lambda c: (
            list_lines(c, run.id, states=[state] if state else (), after=after, limit=TASKS_PER_PAGE + 1),
            reads.count_states(c, run.id),
            extras.list_deadlines(c, run.id),
            extras.list_callbacks(c, run.id),
            list_events(c, dag_id=dag_id, run_id=run_id, limit=EVENTS_SHOWN),
        )
    )
    shown = tasks[:TASKS_PER_PAGE]
    deferred = [line.id for line in shown if isinstance(line, TaskRow) and line.state is TaskState.DEFERRED]
    return page(
        "run.html",
        live=None if _is_settled(run, counts) else LIVE_MILLIS,
        run=run,
        is_over=run.state in FINISHED_RUN_STATES,
        version=site.documents.get(run.version_id),
        tasks=shown,
        waits=site.database.read(lambda c: extras.waits_of(c, deferred)) if deferred else {},
        deadlines=deadlines,
        callbacks=callbacks,
        counts=[(member.value, counts[member]) for member in TaskState if member in counts],
        state=state,
        after=after,
        next_after=shown[-1].id if len(tasks) > len(shown) else None,
        events=events,
    )


def _is_settled(run: RunRow, counts: dict[str, int]) -> bool:
    """A failed run may still have tasks that are being stopped."""
    return run.state in FINISHED_RUN_STATES and all(TaskState(state) in FINISHED_TASK_STATES for state in counts)
