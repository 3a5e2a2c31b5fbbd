"""Runs as JSON, for programs: make one, and look at it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec

from flask import Blueprint, request, url_for

from clockmill.clock import iso_or_none
from clockmill.errors import UsageError, did_you_mean
from clockmill.model.param import ParamError
from clockmill.storage.records import RunRow
from clockmill.webserver.dag_pages import find_dag
from clockmill.webserver.errors import code_of
from clockmill.webserver.run_pages import find_run
from clockmill.webserver.site import current_site

blueprint = Blueprint("api", __name__, url_prefix="/api/v2")

Answer = tuple[dict[str, Any], int]
P = ParamSpec("P")

_TAKEN = ("dag_run_id", "conf", "logical_date", "note")
_TIMES = (
    "logical_date",
    "run_after",
    "data_interval_start",
    "data_interval_end",
    "queued_at",
    "start_date",
    "end_date",
)


def _as_json(view: Callable[P, Answer]) -> Callable[P, Answer]:
    """Let a mistake of the caller be answered in JSON."""

    @wraps(view)
    def answered(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            return view(*args, **kwargs)
        except UsageError as error:
            problems = {"problems": error.problems} if isinstance(error, ParamError) else {}
            return {"detail": str(error), **problems}, code_of(error)

    return answered


@blueprint.post("/dags/<dag_id>/dagRuns")
@_as_json
def trigger(dag_id: str) -> Answer:
    """Queue a run: 201 with it, or 200 with the one that has that id already."""
    find_dag(dag_id)
    body = _body()
    date = body.get("logical_date")
    made = current_site().actions.trigger(
        dag_id,
        conf=_typed(body, "conf", dict) or {},
        run_id=_typed(body, "dag_run_id", str),
        note=_typed(body, "note", str) or "",
        logical_date=None if date is None else _moment(date),
    )
    return _shown(find_run(dag_id, made.run_id)), 201 if made.created else 200


@blueprint.get("/dags/<dag_id>/dagRuns/<run_id>")
@_as_json
def show(dag_id: str, run_id: str) -> Answer:
    """One run."""
    return _shown(find_run(dag_id, run_id)), 200


def _body() -> dict[str, Any]:
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        raise UsageError("The body is nested too deeply.") from None
    if not isinstance(body, dict):
        raise UsageError("The body must be a JSON object; an empty one, {}, takes the defaults.")
    for name in body:
        if name not in _TAKEN:
            raise UsageError(f"There is no field {name!r}; there are {', '.join(_TAKEN)}.{did_you_mean(name, _TAKEN)}")
    return body


def _typed(body: dict[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise UsageError(f"{name} must be {'an object' if kind is dict else 'a text'}, not {value!r}.")
    return value


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise UsageError(f"logical_date must be a time such as 2026-01-31T06:00:00+00:00, not {value!r}.") from None
    if moment.tzinfo is None:
        raise UsageError(f"logical_date must say its offset from UTC, as in {value}+00:00.")
    if not 1 < moment.year < 9999:  # so that in any zone it is still a date
        raise UsageError(f"logical_date must lie in the years 2 to 9998, not {value!r}.")
    return moment


def _shown(run: RunRow) -> dict[str, Any]:
    return {
        "dag_id": run.dag_id,
        "dag_run_id": run.run_id,
        "state": run.state.value,
        "run_type": run.run_type.value,
        "conf": run.conf,
        "note": run.note,
        **{name: iso_or_none(getattr(run, name)) for name in _TIMES},
        "url": url_for("runs.show_run", dag_id=run.dag_id, run_id=run.run_id),
    }
