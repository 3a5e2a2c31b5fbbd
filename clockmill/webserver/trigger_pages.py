"""The form for a run by hand, and the note of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug import Response

from clockmill.errors import UsageError
from clockmill.ids import id_problem
from clockmill.model.param import ParamError
from clockmill.storage.pages import DagLine
from clockmill.webserver.dag_pages import find_dag
from clockmill.webserver.param_fields import PREFIX, conf_from, fields_for
from clockmill.webserver.rendering import page
from clockmill.webserver.run_pages import find_run
from clockmill.webserver.site import current_site

blueprint = Blueprint("trigger", __name__)

_SEE_OTHER = 303


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What was typed into the form.

    :param params: by name of the parameter.
    :param conf: more configuration, as JSON text.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    conf: str = ""
    run_id: str = ""
    note: str = ""


@blueprint.get("/dags/<dag_id>/trigger")
def trigger_form(dag_id: str) -> str:
    """The form for a run by hand."""
    return _trigger_page(find_dag(dag_id), Typed())


@blueprint.post("/dags/<dag_id>/trigger")
def trigger(dag_id: str) -> Response | tuple[str, int]:
    """Make a run by hand and show it; mistakes show the form again, as it was filled in, all of them at once."""
    dag = find_dag(dag_id)
    typed = _typed()
    try:
        conf = {**_typed_params(dag, typed), **parse_conf(typed.conf)}
        made = current_site().actions.trigger(dag_id, conf=conf, run_id=_checked_run_id(typed.run_id), note=typed.note)
    except ParamError as error:
        problem = "Some values do not fit; each says what is wrong with it."
        return _trigger_page(dag, typed, problem=problem, problems=error.problems), 400
    except UsageError as error:
        return _trigger_page(dag, typed, problem=str(error)), 400
    if not made.created:
        flash(f"The run {made.run_id} was there already, so no new one was made.")
    elif dag.is_paused:
        flash(f"{dag_id} is paused: this run waits in the queue until you unpause it.")
    return redirect(url_for("runs.show_run", dag_id=dag_id, run_id=made.run_id), _SEE_OTHER)


@blueprint.post("/dags/<dag_id>/runs/<run_id>/note")
def write_note(dag_id: str, run_id: str) -> Response:
    """Give a run its note."""
    find_run(dag_id, run_id)
    current_site().actions.write_note(dag_id, run_id, request.form.get("note", ""))
    return redirect(url_for("runs.show_run", dag_id=dag_id, run_id=run_id), _SEE_OTHER)


def _typed() -> Typed:
    form = request.form
    params = {name.removeprefix(PREFIX): value for name, value in form.items() if name.startswith(PREFIX)}
    conf, run_id, note = (form.get(name, "").strip() for name in ("conf", "run_id", "note"))
    return Typed(params=params, conf=conf, run_id=run_id, note=note)


def _typed_params(dag: DagLine, typed: Typed) -> dict[str, Any]:
    """The values of the fields; a form without any, as scripts send it, leaves all to the configuration."""
    version = current_site().documents.get(dag.version_id)
    return conf_from(version.document.params, typed.params) if version and typed.params else {}


def _trigger_page(
    dag: DagLine, typed: Typed, *, problem: str = "", problems: Mapping[str, list[str]] | None = None
) -> str:
    version = current_site().documents.get(dag.version_id)
    params = version.document.params if version else ()
    fields = fields_for(params, typed.params, problems or {})
    return page("trigger.html", dag=dag, fields=fields, typed=typed, problem=problem)


def _checked_run_id(text: str) -> str | None:
    if not text:
        return None
    if problem := id_problem("run", text):
        raise UsageError(problem)
    return text


def parse_conf(text: str) -> dict[str, Any]:
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
