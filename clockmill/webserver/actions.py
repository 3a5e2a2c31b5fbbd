"""What the buttons do. Every change is a POST with the token of the session, and ends at a page that shows it."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug import Response

from clockmill.webserver.dag_pages import find_dag
from clockmill.webserver.site import current_site

blueprint = Blueprint("actions", __name__)

_SEE_OTHER = 303


@blueprint.post("/dags/<dag_id>/pause")
def pause(dag_id: str) -> Response:
    """Pause a DAG."""
    return _set_paused(dag_id, True)


@blueprint.post("/dags/<dag_id>/unpause")
def unpause(dag_id: str) -> Response:
    """Unpause a DAG."""
    return _set_paused(dag_id, False)


def _set_paused(dag_id: str, paused: bool) -> Response:
    find_dag(dag_id)
    current_site().actions.set_paused(dag_id, paused)
    flash(f"{dag_id} is paused: no new run starts." if paused else f"{dag_id} is active again.")
    if request.form.get("from") == "list":
        q, show, after = (request.form.get(name) or None for name in ("q", "show", "after"))
        return redirect(url_for("dags.list_dags", q=q, show=show, after=after), _SEE_OTHER)
    return redirect(url_for("dags.show_dag", dag_id=dag_id), _SEE_OTHER)
