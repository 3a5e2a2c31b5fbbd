"""``tasks test`` and ``tasks render``: one task in this process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from clockmill.cli import dag_files
from clockmill.cli.app import App
from clockmill.cli.base import EXIT_FAILED, Command, same_options
from clockmill.cli.output import output_option, show_record
from clockmill.cli.params import conf_option, dag_file_option, to_moment
from clockmill.state import TaskState

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_options = same_options(
    click.argument("dag_id"),
    click.argument("task_id"),
    click.argument("logical_date", required=False, callback=to_moment),
    conf_option,
    dag_file_option,
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
    others = rf"^(?!{re.escape(task_id)}\Z)"
    run = run_dag(dag, **dag_files.run_arguments(app, logical_date, conf), mark_success_pattern=others)
    instances = run.get_task_instances(task_id)
    for done in instances:
        click.echo(f"The task {done.name} ended as {done.state}." + (f" {done.reason}" if done.reason else ""))
    if any(done.state is not TaskState.SUCCESS for done in instances):
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
    show_record(render_task(dag, task_id, **dag_files.run_arguments(app, logical_date, conf)), output)
