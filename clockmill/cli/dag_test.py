"""``dags test``: a whole DAG in this process, with no service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from clockmill.cli import dag_files
from clockmill.cli.app import App
from clockmill.cli.base import EXIT_FAILED, Command
from clockmill.cli.output import show_rows
from clockmill.cli.params import conf_option, dag_file_option, to_moment
from clockmill.state import RunState

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@click.command(cls=Command)
@click.argument("dag_id")
@click.argument("logical_date", required=False, callback=to_moment)
@conf_option
@dag_file_option
@click.pass_context
def test(
    context: click.Context, dag_id: str, logical_date: datetime | None, conf: dict[str, Any] | None, file: Path | None
) -> None:
    """Run a DAG in this process, with no service and no waiting between tries; exit 1 when the run failed."""
    from clockmill.runtime.inprocess import run_dag

    app = context.ensure_object(App)
    dag_files.show_logging()
    dag = dag_files.find_dag(app, dag_id, file)
    run = run_dag(dag, **dag_files.run_arguments(app, logical_date, conf))
    rows = [
        {"task_id": each.name, "state": each.state, "try_number": each.try_number, "reason": each.reason}
        for each in run.get_task_instances()
    ]
    show_rows(rows, ["task_id", "state", "try_number", "reason"], "table")
    click.echo(f"The run of {dag_id} ended as {run.state}.")
    if run.state is RunState.FAILED:
        context.exit(EXIT_FAILED)
