"""Backfills: the lists, the page of one, and the buttons that steer it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug import Response

from clockmill.actions.backfill_progress import BackfillProgress, progress_of
from clockmill.actions.backfill_steer import the_backfill
from clockmill.state import OPEN_BACKFILL_STATES, BackfillState, RunState
from clockmill.state.backfill import StopAt
from clockmill.storage import backfill_pages as reads
from clockmill.storage.backfills import BackfillRow
from clockmill.webserver.dag_pages import find_dag
from clockmill.webserver.rendering import LIST_LIVE_MILLIS, LIVE_MILLIS, choice, integer, page
from clockmill.webserver.site import ROW_ID, current_site

blueprint = Blueprint("backfills", __name__)

BACKFILLS_PER_PAGE = 25
RUNS_PER_PAGE = 50
_SEE_OTHER = 303


@dataclass(frozen=True, slots=True)
class Words:
    """How a page speaks of what a button does.

    :param then: what becomes of the runs in each state; those that are not named stay as they are.
    """

    ask: str
    about: str
    button: str
    done: str
    then: dict[RunState, str]


_VERBS = {
    "pause": Words(
        "Pause the backfill {0}?",
        "No more runs of it begin until somebody resumes it; what runs goes on.",
        "Pause it",
        "The backfill {0} is paused.",
        {RunState.QUEUED: "wait", RunState.RUNNING: "go on"},
    ),
    "resume": Words(
        "Resume the backfill {0}?",
        "It does what is left. Failures that it stopped for count no more: you have seen them.",
        "Resume it",
        "The backfill {0} goes on.",
        {RunState.QUEUED: "begin in turn", RunState.RUNNING: "go on"},
    ),
    "rerun-failed": Words(
        "Go on with the backfill {0}, and run what failed again?",
        "Of each failed run, the tasks that did not succeed run again; what succeeded stays.",
        "Run them again",
        "The backfill {0} goes on, its failed runs with it.",
        {RunState.QUEUED: "begin in turn", RunState.RUNNING: "go on", RunState.FAILED: "run again"},
    ),
    "cancel": Words(
        "Cancel the backfill {0}?",
        "This cannot be taken back: for the dates that are left, create another one.",
        "Cancel the backfill",
        "The backfill {0} is cancelled.",
        {RunState.QUEUED: "never begin", RunState.RUNNING: "are left to finish"},
    ),
}


@blueprint.get("/backfills")
def list_all() -> str:
    """The backfills of every DAG, newest first; ``?state=`` filters, ``?before=`` goes on."""
    return _list_page(None)


@blueprint.get("/dags/<dag_id>/backfills")
def list_of_dag(dag_id: str) -> str:
    """The backfills of one DAG."""
    return _list_page(find_dag(dag_id).dag_id)


def _list_page(dag_id: str | None) -> str:
    database = current_site().database
    state = choice("state", [member.value for member in BackfillState], "")
    before = integer("before", lowest=1)
    states = [state] if state else []
    found = database.read(
        lambda c: reads.list_backfills(c, dag_id=dag_id, states=states, before=before, limit=BACKFILLS_PER_PAGE + 1)
    )
    shown = found[:BACKFILLS_PER_PAGE]
    counts = database.read(lambda c: reads.count_states(c, [row.id for row in shown])) if shown else {}
    return page(
        "backfills.html",
        live=LIST_LIVE_MILLIS,
        dag_id=dag_id,
        backfills=shown,
        counts=counts,
        zones={name: _zone_of(name) for name in {row.dag_id for row in shown}},
        states=list(BackfillState),
        state=state,
        before=before,
        next_before=shown[-1].id if len(found) > len(shown) else None,
    )


@blueprint.get(f"/backfills/<{ROW_ID}>")
def show_backfill(ident: int) -> str:
    """One backfill: how far it is, and its runs; ``?state=`` filters, ``?before=`` goes on."""
    site = current_site()
    state = choice("state", [member.value for member in RunState], "")
    before = integer("before", lowest=1)
    progress = _progress(ident)
    runs = site.database.read(
        lambda c: reads.list_runs_of(c, ident, state=state, before=before, limit=RUNS_PER_PAGE + 1)
    )
    shown = runs[:RUNS_PER_PAGE]
    dag = find_dag(progress.row.dag_id)
    return page(
        "backfill.html",
        live=LIVE_MILLIS if _may_change(progress) else None,
        backfill=progress.row,
        progress=progress,
        dag=dag,
        zone=_zone_of(dag.dag_id),
        stops_at=_stops_at(progress.row),
        verbs=_verbs_for(progress),
        runs=shown,
        states=list(RunState),
        state=state,
        before=before,
        next_before=shown[-1].id if len(runs) > len(shown) else None,
    )


@blueprint.get(f"/backfills/<{ROW_ID}>/<any(pause, resume, 'rerun-failed', cancel):verb>")
def ask(ident: int, verb: str) -> str:
    """What a button would do to the runs of a backfill."""
    progress = _progress(ident)
    words = _VERBS[verb]
    return page(
        "backfill_ask.html",
        backfill=progress.row,
        runs=progress.runs,
        verb=verb,
        words=words,
        is_possible=verb in _verbs_for(progress),
    )


@blueprint.post(f"/backfills/<{ROW_ID}>/<any(pause, resume, 'rerun-failed', cancel):verb>")
def steer(ident: int, verb: str) -> Response:
    """Pause, resume or cancel a backfill."""
    actions = current_site().actions
    match verb:
        case "pause":
            actions.pause_backfill(ident)
        case "cancel":
            actions.cancel_backfill(ident)
        case _:
            actions.resume_backfill(ident, rerun_failed=verb == "rerun-failed")
    flash(_VERBS[verb].done.format(ident))
    if request.form.get("from") == "list":
        return redirect(url_for("backfills.list_all"), _SEE_OTHER)
    return redirect(url_for("backfills.show_backfill", ident=ident), _SEE_OTHER)


def _progress(ident: int) -> BackfillProgress:
    site = current_site()
    now = site.clock.now()
    return site.database.read(lambda c: progress_of(c, the_backfill(c, ident), now))


def _zone_of(dag_id: str) -> str:
    """The zone in which the dates of a DAG are meant."""
    version = current_site().documents.get(find_dag(dag_id).version_id)
    return version.document.timezone if version else "UTC"


def _may_change(progress: BackfillProgress) -> bool:
    """A cancelled one still has runs that are taken back, or that finish."""
    row = progress.row
    is_open = row.state in OPEN_BACKFILL_STATES or not row.is_settled
    return is_open or progress.finished < progress.total


def _verbs_for(progress: BackfillProgress) -> list[str]:
    """What can be done to it now."""
    if progress.row.state not in OPEN_BACKFILL_STATES:
        return []
    first = "pause" if progress.row.state is BackfillState.RUNNING else "resume"
    again = ["rerun-failed"] if progress.runs[RunState.FAILED] else []
    return [first, *again, "cancel"]


def _stops_at(row: BackfillRow) -> int | None:
    """The number of failed runs at which it stops; None when it has no such limit, or nobody knows it yet."""
    if not row.stop_at or not row.is_settled:
        return None
    return StopAt.parse(row.stop_at).failures(row.run_count)
