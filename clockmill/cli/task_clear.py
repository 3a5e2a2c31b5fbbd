"""``tasks clear``: let tasks run again, after a preview."""

from __future__ import annotations

from datetime import datetime

import click

from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.changing import Consent, Wording, change, change_options, range_options, run_option, selected_runs

_WORDING = Wording("Clear {what}?", "Cleared {what}.", "There is nothing to clear.")


@click.command(cls=Command)
@click.argument("dag_id")
@run_option
@range_options
@click.option("--task", "tasks", multiple=True, metavar="REGEX", help="Tasks in whose id this is found; else all.")
@click.option("--group", "groups", multiple=True, metavar="GROUP_ID", help="Of these, only tasks of this group.")
@click.option("--map-index", type=click.IntRange(0), help="Of these, only this instance of a mapped task.")
@click.option("--upstream", is_flag=True, help="Whatever is above them as well.")
@click.option("--downstream", is_flag=True, help="Whatever is below them as well.")
@click.option("--only-failed", is_flag=True, help="Of all these, only what failed.")
@click.option("--only-running", is_flag=True, help="Of all these, only what is running.")
@click.option("--newest-version", is_flag=True, help="Pin the runs to the newest version of the DAG.")
@change_options
@pass_app
def clear(
    app: App,
    dag_id: str,
    run_ids: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    tasks: tuple[str, ...],
    groups: tuple[str, ...],
    map_index: int | None,
    upstream: bool,
    downstream: bool,
    only_failed: bool,
    only_running: bool,
    newest_version: bool,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Clear tasks of runs, so that they run again; of every run when none is named.

    What runs is stopped first. The setups and teardowns of what is cleared are cleared too.
    """
    from clockmill.actions.clear import Clear
    from clockmill.actions.selection import TaskSelection

    runs = selected_runs(app, dag_id, run_ids, since, until, is_needed=False)
    wanted = TaskSelection(
        patterns=tasks,
        groups=groups,
        map_index=map_index,
        upstream=upstream,
        downstream=downstream,
        only_failed=only_failed,
        only_running=only_running,
    )
    request = Clear(runs=runs, tasks=wanted, newest_version=newest_version)
    change(app, request, _WORDING, Consent(dry_run, yes, output))
