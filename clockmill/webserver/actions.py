"""What the buttons do. Every change is a POST with the token of the session, and ends at a page that shows it."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug import Response

from clockmill.errors import UsageError
from clockmill.ids import id_problem
from clockmill.model.param import NO_DEFAULT
from clockmill.storage.pages import DagLine
from clockmill.webserver.dag_pages import find_dag
from clockmill.webserver.rendering import page
from clockmill.webserver.run_pages import find_run
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


@blueprint.get("/dags/<dag_id>/trigger")
def trigger_form(dag_id: str) -> str:
    """The form for a run by hand."""
    return _trigger_page(find_dag(dag_id), conf="", run_id="", problem="")


@blueprint.post("/dags/<dag_id>/trigger")
def trigger(dag_id: str) -> Response | tuple[str, int]:
    """Make a run by hand and show it; a mistake shows the form again, as it was filled in."""
    dag = find_dag(dag_id)
    conf, run_id = request.form.get("conf", "").strip(), request.form.get("run_id", "").strip()
    try:
        made = current_site().actions.trigger(dag_id, conf=_parse_conf(conf), run_id=_checked_run_id(run_id))
    except UsageError as error:
        return _trigger_page(dag, conf=conf, run_id=run_id, problem=str(error)), 400
    if dag.is_paused:
        flash(f"{dag_id} is paused: this run waits in the queue until you unpause it.")
    return redirect(url_for("runs.show_run", dag_id=dag_id, run_id=made), _SEE_OTHER)


def _trigger_page(dag: DagLine, *, conf: str, run_id: str, problem: str) -> str:
    version = current_site().documents.get(dag.version_id)
    return page(
        "trigger.html", dag=dag, version=version, no_default=NO_DEFAULT, conf=conf, run_id=run_id, problem=problem
    )


def _checked_run_id(text: str) -> str | None:
    if not text:
        return None
    if problem := id_problem("run", text):
        raise UsageError(problem)
    return text


def _parse_conf(text: str) -> dict[str, Any]:
    """The configuration of a run.

    :raises UsageError: says what is wrong with the JSON, and where.
    """
    if not text:
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"in line {error.lineno}, column {error.colno}"
        raise UsageError(f"The configuration is no JSON: {error.msg} {place}.") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise UsageError(f"The configuration cannot be read: {error}.") from None
    except RecursionError:
        raise UsageError("The configuration is nested too deeply.") from None
    if not isinstance(value, dict):
        raise UsageError('The configuration must be a JSON object, like {"key": "value"}.')
    return value


def _refuse_constant(name: str) -> None:
    raise UsageError(f"The configuration holds {name}, which JSON does not know.")


@blueprint.post("/dags/<dag_id>/runs/<run_id>/clear")
def clear(dag_id: str, run_id: str) -> Response:
    """Clear exactly the tasks that the preview listed."""
    find_run(dag_id, run_id)
    task_ids = request.form.getlist("task")
    if not task_ids:
        raise UsageError("Choose at least one task of the run, then clear.")
    number = current_site().actions.clear(dag_id, run_id, task_ids=task_ids)
    flash(f"Cleared {number} task{'' if number == 1 else 's'}; they run again as soon as they may.")
    return redirect(url_for("runs.show_run", dag_id=dag_id, run_id=run_id), _SEE_OTHER)
