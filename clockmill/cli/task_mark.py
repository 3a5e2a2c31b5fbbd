"""``tasks mark``: say by hand how tasks ended, after a preview."""

from __future__ import annotations

from datetime import datetime

import click

from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.changing import Consent, Wording, change, change_options, range_options, run_option, selected_runs
from clockmill.state import MARKS, TaskState


@click.command(cls=Command)
@click.argument("dag_id")
@click.argument("task_ids", nargs=-1, required=True, metavar="TASK_ID...")
@run_option
@range_options
@click.option("--state", required=True, type=click.Choice([each.value for each in MARKS]), help="How they ended.")
@click.option("--map-index", type=click.IntRange(0), help="Only this instance of a mapped task.")
@click.option("--upstream", is_flag=True, help="Whatever is above them as well.")
@click.option("--downstream", is_flag=True, help="Whatever is below them as well.")
@change_options
@pass_app
def mark(
    app: App,
    dag_id: str,
    task_ids: tuple[str, ...],
    run_ids: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    state: str,
    map_index: int | None,
    upstream: bool,
    downstream: bool,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Mark tasks of runs as success, failed or skipped, whatever they are.

    What runs is stopped. Marked as success or skipped, tasks no longer stand in the way: what failed below them is
    decided again.
    """
    from clockmill.actions.mark import MarkTasks
    from clockmill.actions.selection import TaskSelection

    runs = selected_runs(app, dag_id, run_ids, since, until)
    names = tuple((task_id, map_index) for task_id in task_ids)
    wanted = TaskSelection(names=names, upstream=upstream, downstream=downstream)
    request = MarkTasks(runs=runs, tasks=wanted, state=TaskState(state))
    wording = Wording("Change {what}?", f"Marked {state}: {{what}} changed.", "There is nothing to mark.")
    change(app, request, wording, Consent(dry_run, yes, output))
