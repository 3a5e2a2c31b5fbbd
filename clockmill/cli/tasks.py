"""``tasks``: what tasks there are, how they stand in a run, and their logs."""

from __future__ import annotations

import click

from clockmill.cli import lookup, task_clear, task_logs, task_mark, task_test
from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app
from clockmill.cli.output import output_option, show_rows
from clockmill.cli.params import map_index_option
from clockmill.state import TaskState
from clockmill.storage import runs

_STATES_COLUMNS = ["task_id", "map_index", "state", "try_number", "start_date", "end_date"]
_LIST_COLUMNS = ["task_id", "operator", "owner", "group", "upstream", "trigger_rule", "pool", "retries"]


@click.group(cls=Group)
def tasks() -> None:
    """Show, test, clear and mark tasks, and read their logs."""


for command in (task_clear.clear, task_mark.mark, task_logs.logs, task_test.test, task_test.render):
    tasks.add_command(command)


@tasks.command("list")
@click.argument("dag_id")
@output_option
@pass_app
def list_tasks(app: App, dag_id: str, output: str) -> None:
    """List the tasks of a DAG."""
    document = app.read(lambda connection: lookup.newest_document(connection, dag_id))
    rows = [{column: getattr(task, column) for column in _LIST_COLUMNS} for task in document.tasks]
    show_rows(rows, _LIST_COLUMNS, output)


@tasks.command("states-for-dag-run")
@click.argument("dag_id")
@click.argument("run_id")
@click.option("--state", type=click.Choice([each.value for each in TaskState]), help="Only tasks in this state.")
@output_option
@pass_app
def states_for_dag_run(app: App, dag_id: str, run_id: str, state: str | None, output: str) -> None:
    """List the tasks of a run with their states."""
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    found = app.read(lambda connection: runs.load_tasks(connection, run.id))
    rows = [{column: getattr(row, column) for column in _STATES_COLUMNS} for row in found if state in (None, row.state)]
    show_rows(rows, _STATES_COLUMNS, output)


@tasks.command()
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id")
@map_index_option
@pass_app
def state(app: App, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
    """Print the state of a task in a run."""
    run = app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    row = app.read(lambda connection: lookup.the_task(connection, run, task_id, map_index))
    click.echo(row.state.value)
