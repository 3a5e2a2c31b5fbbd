"""Pools: how full they are, who holds their slots, and how many they have."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug import Response

from clockmill.errors import UsageError
from clockmill.storage.attempts import live_holders
from clockmill.storage.pool_pages import PoolLine, pool_lines
from clockmill.storage.pools import MAX_SLOTS, Pool, deferred_holders
from clockmill.webserver.errors import PageNotFound
from clockmill.webserver.rendering import LIST_LIVE_MILLIS, page
from clockmill.webserver.site import current_site

blueprint = Blueprint("pools", __name__)

HOLDERS_SHOWN = 100
_SEE_OTHER = 303


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What was typed into a form."""

    name: str
    slots: str
    description: str
    include_deferred: bool


@blueprint.get("/pools")
def list_all() -> str:
    """Every pool with what has its slots."""
    return page("pools.html", live=LIST_LIVE_MILLIS, pools=current_site().database.read(pool_lines), typed=None)


@blueprint.post("/pools")
def create() -> Response | tuple[str, int]:
    """Make a pool; one of that name must not be there yet."""
    known = current_site().database.read(pool_lines)
    typed = _typed(request.form.get("name", "").strip())
    try:
        if any(line.usage.name == typed.name for line in known):
            raise UsageError(f"The pool {typed.name!r} is there already; change it on its own page.")
        current_site().actions.set_pool(_read(typed))
    except UsageError as error:
        return page("pools.html", pools=known, typed=typed, problem=str(error)), 400
    return _done(typed.name)


@blueprint.get("/pools/<path:name>")
def show_pool(name: str) -> str:
    """One pool: who holds its slots, and the form that changes it."""
    return _pool_page(_find(name))


@blueprint.post("/pools/<path:name>")
def change(name: str) -> Response | tuple[str, int]:
    """Change a pool; one that is made smaller empties by and by."""
    line = _find(name)
    typed = _typed(name)
    try:
        current_site().actions.set_pool(_read(typed))
    except UsageError as error:
        return _pool_page(line, typed, problem=str(error)), 400
    return _done(name)


def _pool_page(line: PoolLine, typed: Typed | None = None, *, problem: str = "") -> str:
    name = line.usage.name
    holders, deferred = current_site().database.read(
        lambda c: (
            live_holders(c, pool_name=name, limit=HOLDERS_SHOWN + 1),
            deferred_holders(c, name, limit=HOLDERS_SHOWN + 1),
        )
    )
    return page(
        "pool.html",
        live=None if problem else LIST_LIVE_MILLIS,
        line=line,
        holders=holders[:HOLDERS_SHOWN],
        deferred=deferred[:HOLDERS_SHOWN],
        are_more=max(len(holders), len(deferred)) > HOLDERS_SHOWN,
        typed=typed,
        problem=problem,
    )


def _find(name: str) -> PoolLine:
    lines = current_site().database.read(pool_lines)
    for line in lines:
        if line.usage.name == name:
            return line
    raise PageNotFound("pool", name, [line.usage.name for line in lines])


def _typed(name: str) -> Typed:
    form = request.form
    return Typed(
        name=name,
        slots=form.get("slots", "").strip(),
        description=form.get("description", "").strip(),
        include_deferred=form.get("include_deferred") == "1",
    )


def _read(typed: Typed) -> Pool:
    text = typed.slots
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise UsageError(f"Slots: {text[:40]!r} is not a whole number from 0 to {MAX_SLOTS}.")
    return Pool(
        name=typed.name,
        slots=int(text),
        description=typed.description,
        include_deferred=typed.include_deferred,
    )


def _done(name: str) -> Response:
    flash(f"The pool {name} is saved.")
    return redirect(url_for("pools.show_pool", name=name), _SEE_OTHER)
