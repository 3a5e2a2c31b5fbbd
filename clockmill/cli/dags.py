"""``dags``: what DAGs there are, what they look like, and whether they run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from clockmill.cli import dag_parsing, dag_runs, dag_test, dag_ticks, lookup
from clockmill.cli.app import App
from clockmill.cli.base import Group, confirm, pass_app
from clockmill.cli.output import output_option, show_record, show_rows, warn
from clockmill.cli.params import yes_option
from clockmill.storage import pages
from clockmill.storage.pages import DagLine

if TYPE_CHECKING:
    from clockmill.serde import Document

_PAGE = 500


@click.group(cls=Group)
def dags() -> None:
    """Show, trigger and steer DAGs and their runs."""


for command in (
    dag_runs.trigger,
    dag_runs.list_runs,
    dag_test.test,
    dag_ticks.next_execution,
    dag_ticks.next_runs,
    dag_parsing.list_import_errors,
    dag_parsing.report,
    dag_parsing.reserialize,
):
    dags.add_command(command)


@dags.command("list")
@output_option
@pass_app
def list_dags(app: App, output: str) -> None:
    """List the DAGs."""
    rows = [
        {
            "dag_id": line.dag_id,
            "is_paused": line.is_paused,
            "next_run": line.next_run_after,
            "file": line.file,
            "tags": line.tags,
            "owner": line.owner,
        }
        for line in _all_dags(app)
    ]
    show_rows(rows, ["dag_id", "is_paused", "next_run", "file", "tags", "owner"], output)


@dags.command()
@click.argument("dag_id")
@click.option("--dot", "form", flag_value="dot", help="In the language of Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="In the language of Mermaid.")
@pass_app
def show(app: App, dag_id: str, form: str | None) -> None:
    """Draw the graph of a DAG as a tree."""
    from clockmill.actions.missing_pools import missing_pools
    from clockmill.cli import graph

    document = app.read(lambda connection: lookup.newest_document(connection, dag_id))
    draw = {"dot": graph.as_dot, "mermaid": graph.as_mermaid}.get(form or "", graph.as_tree)
    click.echo(draw(document))
    for problem in app.read(lambda connection: missing_pools(connection, document)):
        warn(problem)


@dags.command()
@click.argument("dag_id")
@output_option
@pass_app
def details(app: App, dag_id: str, output: str) -> None:
    """Show everything about a DAG."""
    line = app.read(lambda connection: lookup.the_dag(connection, dag_id))
    document = app.read(lambda connection: lookup.newest_document(connection, dag_id))
    show_record(_details(line, document), output)


@dags.command()
@click.argument("dag_ids", nargs=-1, required=True, metavar="DAG_ID...")
@pass_app
def pause(app: App, dag_ids: tuple[str, ...]) -> None:
    """Begin no run and no task of these DAGs; tasks that run go on."""
    _set_paused(app, dag_ids, True)


@dags.command()
@click.argument("dag_ids", nargs=-1, required=True, metavar="DAG_ID...")
@pass_app
def unpause(app: App, dag_ids: tuple[str, ...]) -> None:
    """Let these DAGs run again."""
    _set_paused(app, dag_ids, False)


@dags.command()
@click.argument("dag_id")
@yes_option
@pass_app
def delete(app: App, dag_id: str, yes: bool) -> None:
    """Delete a DAG with all of its runs; it comes back when its file is still there."""
    from clockmill.actions.dags import delete_dag

    app.read(lambda connection: lookup.the_dag(connection, dag_id))
    confirm(f"Delete the DAG {dag_id} and its whole history?", yes)
    delete_dag(app.database, app.clock, dag_id, actor=app.actor)
    store = app.settings.logs.remote if "://" in app.settings.logs.remote else ""
    places = f"{app.settings.logs_folder / dag_id}{f' and {store}' if store else ''}"
    click.echo(f"The DAG {dag_id} is deleted; the logs of its tasks are left in {places}.")


def _all_dags(app: App) -> Iterator[DagLine]:
    return app.pages(
        lambda connection, after: pages.list_dags(connection, after=after or "", limit=_PAGE), lambda line: line.dag_id
    )


def _set_paused(app: App, dag_ids: tuple[str, ...], paused: bool) -> None:
    from clockmill.actions.dags import set_paused

    for dag_id in dag_ids:
        set_paused(app.database, app.clock, dag_id, paused=paused, actor=app.actor)
        click.echo(f"The DAG {dag_id} is {'paused' if paused else 'active'}.")
    app.wake()


def _details(line: DagLine, document: Document) -> dict[str, Any]:
    return {
        "dag_id": line.dag_id,
        "description": line.description,
        "is_paused": line.is_paused,
        "is_active": line.is_active,
        "file": line.file,
        "owner": line.owner,
        "tags": line.tags,
        "schedule": line.schedule,
        "timezone": document.timezone,
        "start_date": document.start_date,
        "end_date": document.end_date,
        "catchup": document.catchup,
        "overlap": document.overlap,
        "allowed_run_types": document.allowed_run_types,
        "next_run": line.next_run_after,
        "max_active_runs": document.max_active_runs,
        "max_active_tasks": document.max_active_tasks,
        "dagrun_timeout": document.dagrun_timeout,
        "params": [param.name for param in document.params],
        "tasks": [task.task_id for task in document.tasks],
        "doc_md": document.doc_md,
    }
