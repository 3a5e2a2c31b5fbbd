"""The form for a backfill: what it would do to every date first, then exactly that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug import Response

from clockmill.actions.backfill import BackfillPreview, BackfillRequest
from clockmill.actions.backfill_dates import DateAction, PlannedDate
from clockmill.errors import NotFound, UsageError
from clockmill.state.backfill import ReprocessBehavior
from clockmill.storage.backfills import BackfillRow, overlapping_backfill
from clockmill.storage.pages import DagLine
from clockmill.webserver.dag_pages import find_dag
from clockmill.webserver.rendering import page
from clockmill.webserver.site import current_site
from clockmill.webserver.trigger_pages import parse_conf

blueprint = Blueprint("backfill_form", __name__)

#: More dates than this are shown as stretches in which the same becomes of all.
DATES_SHOWN = 100
STRETCHES_SHOWN = 200
_SEE_OTHER = 303
_CHANGED = 409
_FIELDS = (
    "from_day",
    "from_time",
    "to_day",
    "to_time",
    "reprocess",
    "backwards",
    "max_active_runs",
    "canary",
    "stop_at",
    "tasks",
    "conf",
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Dates in a row of which the same becomes."""

    first: datetime
    last: datetime
    number: int
    action: DateAction
    reason: str


@blueprint.get("/dags/<dag_id>/backfills/new")
def form(dag_id: str) -> str:
    """The empty form."""
    return _page(find_dag(dag_id), dict.fromkeys(_FIELDS, ""))


@blueprint.post("/dags/<dag_id>/backfills/new")
def submit(dag_id: str) -> Response | tuple[str, int]:
    """Show what a backfill would do; with ``step=create``, create it if that is still what was shown."""
    dag = find_dag(dag_id)
    typed = {name: request.form.get(name, "").strip() for name in _FIELDS}
    actions = current_site().actions
    try:
        wanted = _read(dag_id, typed)
        preview = actions.preview_backfill(wanted)
        if request.form.get("step") != "create":
            return _page(dag, typed, preview=preview), 200
        if request.form.get("fingerprint", "") != fingerprint(preview.dates):
            problem = "Something changed in between, so nothing was created. This is what it would do now."
            return _page(dag, typed, preview=preview, problem=problem), _CHANGED
        ident = actions.create_backfill(wanted)
    except NotFound:
        raise
    except UsageError as error:
        return _page(dag, typed, problem=str(error)), 400
    flash(f"The backfill {ident} is created: its runs begin after those that are due now.")
    return redirect(url_for("backfills.show_backfill", ident=ident), _SEE_OTHER)


def _page(dag: DagLine, typed: Mapping[str, str], *, preview: BackfillPreview | None = None, problem: str = "") -> str:
    version = current_site().documents.get(dag.version_id)
    is_long = preview is not None and len(preview.dates) > DATES_SHOWN
    stretches = stretches_of(preview.dates) if preview is not None and is_long else []
    return page(
        "backfill_form.html",
        dag=dag,
        zone=version.document.timezone if version else "UTC",
        typed=typed,
        behaviors=list(ReprocessBehavior),
        problem=problem,
        preview=preview,
        other=_other(preview) if preview else None,
        dates=preview.dates if preview is not None and not is_long else (),
        stretches=stretches[:STRETCHES_SHOWN],
        more=max(0, len(stretches) - STRETCHES_SHOWN),
        fingerprint=fingerprint(preview.dates) if preview else "",
    )


def _other(preview: BackfillPreview) -> BackfillRow | None:
    """A backfill that has some of the dates, so that this one cannot be made."""
    dag_id = preview.request.dag_id
    return current_site().database.read(lambda c: overlapping_backfill(c, dag_id, preview.first, preview.last))


def stretches_of(dates: Iterable[PlannedDate]) -> list[Stretch]:
    """Dates, ascending, put together where the same becomes of neighbours."""
    found = []
    for (action, reason), group in groupby(dates, key=lambda each: (each.action, each.reason)):
        members = [each.tick.logical_date for each in group]
        found.append(Stretch(members[0], members[-1], len(members), action, reason))
    return found


def fingerprint(dates: Iterable[PlannedDate]) -> str:
    """A text that differs as soon as something else would become of a date."""
    digest = hashlib.sha256()
    for each in dates:
        digest.update(f"{each.tick.logical_date.isoformat()} {each.action} {each.dag_run_id}\n".encode())
    return digest.hexdigest()[:32]


def _read(dag_id: str, typed: Mapping[str, str]) -> BackfillRequest:
    return BackfillRequest(
        dag_id=dag_id,
        first=_moment(typed["from_day"], typed["from_time"], "first"),
        last=_moment(typed["to_day"], typed["to_time"], "last"),
        max_active_runs=_number(typed["max_active_runs"], "Runs at a time"),
        run_backwards=typed["backwards"] == "1",
        reprocess_behavior=_behavior(typed["reprocess"]),
        tasks=typed["tasks"],
        conf=parse_conf(typed["conf"]),
        canary=_number(typed["canary"], "Runs first"),
        stop_at=typed["stop_at"],
    )


def _moment(day: str, time: str, which: str) -> date:
    if not day:
        raise UsageError(f"Say which date is the {which} one.")
    try:
        return datetime.fromisoformat(f"{day}T{time}") if time else date.fromisoformat(day)
    except ValueError:
        told = f"{day} {time}".strip()[:40]
        raise UsageError(f"The {which} date {told!r} is no date; write one such as 2026-01-31.") from None


def _number(text: str, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise UsageError(f"{name}: {text[:40]!r} is not a whole number from 1 on.")
    return int(text)


def _behavior(text: str) -> ReprocessBehavior:
    known = [each.value for each in ReprocessBehavior]
    if text and text not in known:
        raise UsageError(f"What becomes of dates that have a run is one of {', '.join(known)}, not {text[:40]!r}.")
    return ReprocessBehavior(text or ReprocessBehavior.NONE)
