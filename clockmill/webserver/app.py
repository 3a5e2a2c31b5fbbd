"""The application factory."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request, url_for
from jinja2 import StrictUndefined

from clockmill.clock import Clock, iso
from clockmill.ids import id_problem
from clockmill.storage.deadlines import state_of
from clockmill.webserver import (
    actions,
    api,
    backfill_form,
    backfill_pages,
    callback_pages,
    change_pages,
    dag_pages,
    display,
    errors,
    health,
    pool_pages,
    run_pages,
    schedules,
    security,
    task_pages,
    trigger_pages,
    worker_pages,
)
from clockmill.webserver.documents import Documents
from clockmill.webserver.errors import PageNotFound
from clockmill.webserver.hooks import Actions
from clockmill.webserver.site import Site, WebOptions, current_site, install

if TYPE_CHECKING:
    from clockmill.storage.engine import Database

_YEAR_SECONDS = 365 * 86400
_PAGES = (
    health,
    dag_pages,
    run_pages,
    task_pages,
    trigger_pages,
    change_pages,
    backfill_pages,
    backfill_form,
    callback_pages,
    pool_pages,
    worker_pages,
    actions,
    api,
)
_ID_KINDS = {"dag_id": "DAG", "run_id": "run", "task_id": "task"}


def create_app(database: Database, options: WebOptions, *, clock: Clock, actions_hook: Actions) -> Flask:
    """The web pages of one installation.

    :param database: where everything shown is read from.
    :param actions_hook: asked for every change.
    """
    app = Flask("clockmill.webserver", root_path=str(Path(__file__).parent))
    site = Site(database=database, clock=clock, actions=actions_hook, options=options, documents=Documents(database))
    install(app, site)
    security.protect(app, options.secret_key, options.allowed_hosts)
    _prepare_templates(app)
    _prepare_static(app)
    errors.handle(app)
    app.url_value_preprocessor(_check_ids)
    for module in _PAGES:
        app.register_blueprint(module.blueprint)
    return app


def _check_ids(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Ids name folders of the log tree: what cannot be an id is not looked for."""
    for name, kind in _ID_KINDS.items():
        if values and name in values and id_problem(kind, values[name]):
            raise PageNotFound(kind, str(values[name]))


def _prepare_templates(app: Flask) -> None:
    environment = app.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(
        absolute=display.absolute,
        bound=schedules.bound,
        iso=iso,
        json=display.pretty_json,
        local=schedules.local,
        memory=display.memory,
        asked=display.asked,
        short_date=display.short_date,
        millis=display.millis,
        span=display.span,
        told=display.told,
        words=display.words,
    )
    environment.globals.update(deadline_state=state_of, since=display.since)
    environment.globals.update(
        bar_in=display.bar_in, pool_segments=display.pool_segments, run_segments=display.run_segments
    )

    @app.context_processor
    def for_this_request() -> dict[str, Any]:
        now = current_site().clock.now()

        def relative(moment: datetime) -> str:
            return display.relative(moment, now)

        def duration(start: datetime | None, end: datetime | None) -> str:
            return display.duration(start, end, now)

        return {"now": now, "relative": relative, "duration": duration}


def _prepare_static(app: Flask) -> None:
    folder = Path(app.static_folder or "")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:10] for path in sorted(folder.iterdir())}

    def asset(name: str) -> str:
        """The address of a static file; it changes with the file, so browsers may keep what they have."""
        return url_for("static", filename=name, v=digests[name])

    app.jinja_env.globals["asset"] = asset

    @app.after_request
    def keep(response: Response) -> Response:
        if request.endpoint == "static" and "v" in request.args and response.status_code == 200:
            response.headers["Cache-Control"] = f"public, max-age={_YEAR_SECONDS}, immutable"
        return response
