"""``dags trigger`` and ``dags list-runs``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import EXIT_FAILED, Command, pass_app
from clockmill.cli.output import output_option, show_record, show_rows, warn
from clockmill.cli.params import conf_option, to_moment
from clockmill.model.zones import in_utc
from clockmill.state import RunState, TaskState
from clockmill.storage import pages
from clockmill.storage.task_lines import list_lines

if TYPE_CHECKING:
    from datetime import datetime

    from clockmill.storage.pages import RunLine
    from clockmill.storage.records import RunRow

_PAGE = 500
_MOST_NAMED = 5
_COLUMNS = ["run_id", "state", "run_type", "logical_date", "run_after", "start_date", "end_date"]


@click.command("list-runs", cls=Command)
@click.argument("dag_id")
@click.option("--state", type=click.Choice([each.value for each in RunState]), help="Only runs in this state.")
@click.option("--limit", type=click.IntRange(1), help="Only so many, the newest.")
@output_option
@pass_app
def list_runs(app: App, dag_id: str, state: str | None, limit: int | None, output: str) -> None:
    """List the runs of a DAG, newest first."""
    app.read(lambda connection: lookup.the_dag(connection, dag_id))
    lines = islice(_all_runs(app, dag_id, state or ""), limit)
    show_rows([_record(line) for line in lines], _COLUMNS, output)


@click.command("trigger", cls=Command)
@click.argument("dag_id")
@conf_option
@click.option("--run-id", help="The id of the run; made from the time when it is left out.")
@click.option("--logical-date", callback=to_moment, metavar="TIME", help="The logical date; now when it is left out.")
@click.option("--note", default="", help="What people shall read at the run.")
@click.option("--wait", is_flag=True, help="Wait for the end of the run; exit 1 when it failed.")
@output_option
@click.pass_context
def trigger(
    context: click.Context,
    dag_id: str,
    conf: dict[str, Any] | None,
    run_id: str | None,
    logical_date: datetime | None,
    note: str,
    wait: bool,
    output: str,
) -> None:
    """Queue a run of a DAG."""
    from clockmill.actions.trigger import trigger_run

    app = context.find_object(App) or App()
    if logical_date is not None:
        zone = app.read(lambda connection: lookup.newest_document(connection, dag_id)).timezone
        logical_date = in_utc(logical_date, zone)
    done = trigger_run(
        app.database, app.clock, dag_id, actor=app.actor, conf=conf, run_id=run_id, logical_date=logical_date, note=note
    )
    app.wake()
    if not done.created:
        warn(f"The run {done.run.run_id!r} was there already; no new one was made.")
    if done.is_paused:
        warn(f"The DAG {dag_id!r} is paused: the run waits until 'clockmill dags unpause {dag_id}'.")
    run = _wait(app, done.run) if wait else done.run
    show_record(_record(run), output)
    if wait and run.state is RunState.FAILED:
        _tell_failure(app, run)
        context.exit(EXIT_FAILED)


def _wait(app: App, run: RunRow) -> RunRow:
    from clockmill.cli.progress import follow_run

    return follow_run(app, run)


def _tell_failure(app: App, run: RunRow) -> None:
    """Say on stderr why a run that was waited for failed, and what tells more."""
    failed = app.read(lambda connection: list_lines(connection, run.id, states=[TaskState.FAILED]))
    names = ", ".join(line.task_id for line in failed[:_MOST_NAMED]) + (" ..." if len(failed) > _MOST_NAMED else "")
    told = "; ".join(filter(None, (run.reason, names and f"failed tasks: {names}")))
    click.echo(f"The run {run.run_id!r} failed" + (f": {told}." if told else "."), err=True)
    if failed:
        click.echo(f"See 'clockmill why {run.dag_id} {run.run_id} {failed[0].task_id}'.", err=True)


def _all_runs(app: App, dag_id: str, state: str) -> Iterator[RunLine]:
    return app.pages(
        lambda connection, before: pages.list_runs(connection, dag_id, state=state, before=before, limit=_PAGE),
        lambda line: line.id,
    )


def _record(run: RunLine | RunRow) -> dict[str, Any]:
    return {column: getattr(run, column) for column in _COLUMNS}
