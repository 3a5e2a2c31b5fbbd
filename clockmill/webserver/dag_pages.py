"""The list of DAGs and the page of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, redirect, request, url_for
from werkzeug import Response

from clockmill.actions.missing_pools import missing_pools
from clockmill.state import RunState, RunType
from clockmill.storage import pages
from clockmill.storage.deadlines import missed_since
from clockmill.storage.pages import DagFilter, DagLine, RunLine
from clockmill.storage.versions import dag_ids
from clockmill.webserver.display import heights, seconds_taken
from clockmill.webserver.errors import PageNotFound
from clockmill.webserver.rendering import LIST_LIVE_MILLIS, choice, integer, page
from clockmill.webserver.schedules import ticks_around
from clockmill.webserver.site import current_site

blueprint = Blueprint("dags", __name__)

DAGS_PER_PAGE = 100
RUNS_PER_PAGE = 25
RUN_DOTS = 10
CHART_RUNS = 48
CHART_HEIGHT = 46
_LOWEST_BAR = 4
MISSED_SHOWN = 20
_LATELY = timedelta(days=1)


@blueprint.get("/")
def home() -> Response:
    """The list of DAGs is where everybody begins."""
    return redirect(url_for("dags.list_dags"))


@blueprint.get("/dags")
def list_dags() -> str:
    """Every DAG with its newest runs; ``?q=`` searches, ``?show=`` filters, ``?after=`` goes on."""
    database = current_site().database
    which = DagFilter(choice("show", [member.value for member in DagFilter], "all"))
    search = request.args.get("q", "").strip()[:100]
    after = request.args.get("after", "")[:250]
    lately = current_site().clock.now() - _LATELY
    lines, counts, broken, missed = database.read(
        lambda c: (
            pages.list_dags(c, which=which, search=search, after=after, limit=DAGS_PER_PAGE + 1),
            pages.count_dags(c),
            pages.list_import_errors(c),
            missed_since(c, lately, limit=MISSED_SHOWN + 1),
        )
    )
    shown = lines[:DAGS_PER_PAGE]
    runs = database.read(lambda c: pages.newest_runs(c, [line.dag_id for line in shown], per_dag=RUN_DOTS))
    return page(
        "dags.html",
        live=LIST_LIVE_MILLIS,
        dags=shown,
        runs=runs,
        counts=counts,
        filters=list(DagFilter),
        which=which,
        search=search,
        after=after,
        next_after=shown[-1].dag_id if len(lines) > len(shown) else None,
        broken=broken,
        missed=missed[:MISSED_SHOWN],
        more_missed=len(missed) > MISSED_SHOWN,
        dags_folder=current_site().options.dags_folder,
    )


def find_dag(dag_id: str) -> DagLine:
    """The DAG that an address names.

    :raises PageNotFound: with the nearest name that exists.
    """
    database = current_site().database
    found = database.read(lambda c: pages.find_dag(c, dag_id))
    if found is None:
        raise PageNotFound("DAG", dag_id, database.read(dag_ids))
    return found


@dataclass(frozen=True, slots=True)
class ChartBar:
    """A run in the chart of durations."""

    run: RunLine
    x: int
    height: int


@blueprint.get("/dags/<dag_id>")
def show_dag(dag_id: str) -> str:
    """One DAG: its runs, newest first, and what it is made of; ``?state=`` and ``?type=`` filter its runs."""
    site = current_site()
    dag = find_dag(dag_id)
    state = choice("state", [member.value for member in RunState], "")
    run_type = choice("type", [member.value for member in RunType], "")
    before = integer("before", lowest=1)
    runs, newest = site.database.read(
        lambda c: (
            pages.list_runs(c, dag_id, state=state, run_type=run_type, before=before, limit=RUNS_PER_PAGE + 1),
            pages.newest_runs(c, [dag_id], per_dag=CHART_RUNS)[dag_id],
        )
    )
    shown = runs[:RUNS_PER_PAGE]
    version = site.documents.get(dag.version_id)
    times = [seconds_taken(run, site.clock.now()) for run in newest]
    return page(
        "dag.html",
        live=LIST_LIVE_MILLIS,
        dag=dag,
        version=version,
        missing_pools=site.database.read(lambda c: missing_pools(c, version.document)) if version else [],
        ticks=ticks_around(version.document) if version and dag.is_active else None,
        runs=shown,
        states=list(RunState),
        state=state,
        run_types=list(RunType),
        run_type=run_type,
        before=before,
        next_before=shown[-1].id if len(runs) > len(shown) else None,
        chart=_chart(newest, times),
        longest=max(times, default=0.0),
        chart_height=CHART_HEIGHT,
    )


def _chart(runs: list[RunLine], times: list[float]) -> list[ChartBar]:
    tall = heights(times, tallest=CHART_HEIGHT, lowest=_LOWEST_BAR)
    return [ChartBar(run, place, height) for place, (run, height) in enumerate(zip(runs, tall, strict=True))]
