"""The page of one call of an author's function: its attempts and what it printed."""

from __future__ import annotations

from flask import Blueprint

from clockmill.logs.paths import path_for_callback
from clockmill.logs.store import LogsUnavailable
from clockmill.state import CallbackState
from clockmill.storage import run_extras as reads
from clockmill.webserver import logtail
from clockmill.webserver.errors import PageNotFound
from clockmill.webserver.rendering import LIVE_MILLIS, page
from clockmill.webserver.run_pages import find_run
from clockmill.webserver.site import ROW_ID, current_site

blueprint = Blueprint("callbacks", __name__)


@blueprint.get(f"/dags/<dag_id>/runs/<run_id>/callbacks/<{ROW_ID}>")
def show_callback(dag_id: str, run_id: str, ident: int) -> str:
    """One call, with the end of its log."""
    site = current_site()
    run = find_run(dag_id, run_id)
    found, attempts = site.database.read(
        lambda c: (reads.list_callbacks(c, run.id, ident=ident), reads.attempts_of_callback(c, ident))
    )
    if not found:
        raise PageNotFound("callback", str(ident))
    is_over = found[0].state != CallbackState.PENDING.value
    path = path_for_callback(site.options.logs.folder, dag_id=dag_id, run_id=run_id, callback_id=ident)
    log, problem = None, ""
    try:
        _, log = site.options.logs.tail(path, growing=not is_over)
    except LogsUnavailable as error:
        problem = str(error)
    return page(
        "callback.html",
        live=None if is_over else LIVE_MILLIS,
        run=run,
        callback=found[0],
        attempts=attempts[::-1],
        log=log,
        problem=problem,
        lines=logtail.lines(logtail.text_of(log.data)) if log else [],
    )
