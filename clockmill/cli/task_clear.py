"""``tasks clear``: let tasks of one run run again, after a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import Command, confirm, pass_app
from clockmill.cli.output import counted, show_rows
from clockmill.cli.params import yes_option

if TYPE_CHECKING:
    from clockmill.actions.clear import ClearPreview


@click.command(cls=Command)
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_ids", nargs=-1, metavar="[TASK_ID]...")
@click.option("--downstream/--no-downstream", default=True, show_default=True, help="Whatever is below them as well.")
@click.option("--only-failed", is_flag=True, help="Of these, only what failed.")
@yes_option
@pass_app
def clear(
    app: App, dag_id: str, run_id: str, task_ids: tuple[str, ...], downstream: bool, only_failed: bool, yes: bool
) -> None:
    """Clear tasks of a run and what is downstream, or all of its tasks, so that they run again."""
    from clockmill.actions.clear import ClearRequest, apply_clear, preview_clear

    app.read(lambda connection: lookup.the_run(connection, dag_id, run_id))
    request = ClearRequest(
        dag_id=dag_id, run_id=run_id, task_ids=task_ids or None, downstream=downstream, only_failed=only_failed
    )
    preview = app.read(lambda connection: preview_clear(connection, request))
    if not preview.tasks:
        click.echo("There is nothing to clear.")
        return
    _show(preview)
    confirm(f"Clear {counted(len(preview.tasks), 'task instance')}?", yes)
    done = apply_clear(app.database, app.clock, request, fingerprint=preview.fingerprint, actor=app.actor)
    app.wake()
    click.echo(f"Cleared {counted(len(done.tasks), 'task instance')}.")


def _show(preview: ClearPreview) -> None:
    rows = [
        {"task_id": row.task_id, "map_index": row.map_index, "state": row.state, "try_number": row.try_number}
        for row in preview.tasks
    ]
    show_rows(rows, ["task_id", "map_index", "state", "try_number"], "table")
