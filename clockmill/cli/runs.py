"""``runs``: show, mark, run again and stop whole runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from clockmill.cli import dag_runs, run_calls, run_show
from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app, same_options
from clockmill.cli.changing import Consent, Wording, change, change_options, range_options, selected_runs
from clockmill.state import MARKS, TaskState

_which_runs: Callable[[Any], Any] = same_options(
    click.argument("dag_id"), click.argument("run_ids", nargs=-1, metavar="[RUN_ID]..."), range_options
)


@click.group(cls=Group)
def runs() -> None:
    """Show, mark, run again and stop runs; list their callbacks and deadlines."""


for command in (run_calls.callbacks, run_calls.deadlines, run_show.show):
    runs.add_command(command)
runs.add_command(dag_runs.list_runs, "list")  # where people look for it as well


@runs.command()
@click.argument("state", type=click.Choice([each.value for each in MARKS]))
@_which_runs
@change_options
@pass_app
def mark(
    app: App,
    state: str,
    dag_id: str,
    run_ids: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Mark runs as success or failed, or skip what is left of them.

    success: all of their tasks become success. failed: what runs is stopped and fails, what has not begun is skipped.
    skipped: whatever is not finished is skipped, and the runs end as their tasks say.
    """
    from clockmill.actions.mark_runs import MarkRuns

    request = MarkRuns(runs=selected_runs(app, dag_id, run_ids, since, until), state=TaskState(state))
    wording = Wording(f"Mark {{what}} {state}?", f"Marked {{what}} {state}.", "There is nothing to mark.", of_runs=True)
    change(app, request, wording, Consent(dry_run, yes, output))


@runs.command()
@_which_runs
@click.option("--from-failure", is_flag=True, help="Only what failed, and what could not run because of that.")
@change_options
@pass_app
def rerun(
    app: App,
    dag_id: str,
    run_ids: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    from_failure: bool,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Run runs again: all of their tasks, or from where they failed."""
    from clockmill.actions.rerun import Rerun

    request = Rerun(runs=selected_runs(app, dag_id, run_ids, since, until), from_failure=from_failure)
    nothing = "Nothing failed in these runs." if from_failure else "There is nothing to run again."
    change(
        app, request, Wording("Clear {what}, to run again?", "Cleared {what}.", nothing), Consent(dry_run, yes, output)
    )


@runs.command()
@_which_runs
@change_options
@pass_app
def stop(
    app: App,
    dag_id: str,
    run_ids: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Stop runs: what runs is stopped and fails, what has not begun is skipped, the runs fail.

    Teardowns whose setup ran still clean up before the run ends.
    """
    from clockmill.actions.mark_runs import StopRuns

    request = StopRuns(runs=selected_runs(app, dag_id, run_ids, since, until))
    wording = Wording(
        "Stop {what}?", "Stopped {what}.", "These runs are finished: there is nothing to stop.", of_runs=True
    )
    change(app, request, wording, Consent(dry_run, yes, output))
