"""``tasks test`` and ``tasks render``: one task in this process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clockmill.cli import dag_files
from clockmill.cli.app import App
from clockmill.cli.base import EXIT_FAILED, Command, same_options
from clockmill.cli.output import output_option, show_record
from clockmill.cli.params import to_json_object, to_moment
from clockmill.state import TaskState

if TYPE_CHECKING:
    from datetime import datetime

_options = same_options(
    click.argument("dag_id"),
    click.argument("task_id"),
    click.argument("logical_date", required=False, callback=to_moment),
    click.option("--conf", callback=to_json_object, metavar="JSON", help="Parameters of the run, a JSON object."),
    click.option(
        "--file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="The DAG file; else the DAG folder and the examples are looked through.",
    ),
)


@click.command(cls=Command)
@_options
@click.pass_context
def test(
    context: click.Context,
    dag_id: str,
    task_id: str,
    logical_date: datetime | None,
    conf: dict[str, Any] | None,
    file: Path | None,
) -> None:
    """Run one task in this process as if all others had succeeded; exit 1 when it did not succeed."""
    from clockmill.runtime.inprocess import run_dag

    app = context.ensure_object(App)
    dag_files.show_logging()
    dag = dag_files.find_dag(app, dag_id, file)
    dag.get_task(task_id)
    variables, connections = dag_files.stored_values(app)
    others = rf"^(?!{re.escape(task_id)}\Z)"
    run = run_dag(
        dag,
        run_after=logical_date,
        logical_date=logical_date,
        run_conf=conf,
        variables=variables,
        connections=connections,
        mark_success_pattern=others,
    )
    done = run.get_task_instance(task_id)
    click.echo(f"The task {task_id} ended as {done.state}." + (f" {done.reason}" if done.reason else ""))
    if done.state is not TaskState.SUCCESS:
        context.exit(EXIT_FAILED)


@click.command(cls=Command)
@_options
@output_option
@click.pass_context
def render(
    context: click.Context,
    dag_id: str,
    task_id: str,
    logical_date: datetime | None,
    conf: dict[str, Any] | None,
    file: Path | None,
    output: str,
) -> None:
    """Show the template fields of a task, filled in; nothing is run."""
    from clockmill.runtime.inprocess import render_task

    app = context.ensure_object(App)
    dag = dag_files.find_dag(app, dag_id, file)
    variables, connections = dag_files.stored_values(app)
    fields = render_task(
        dag,
        task_id,
        run_after=logical_date,
        logical_date=logical_date,
        run_conf=conf,
        variables=variables,
        connections=connections,
    )
    show_record(fields, output)
