"""``dags list-import-errors``, ``dags report`` and ``dags reserialize``: how the parsing of DAG files goes."""

from __future__ import annotations

import click

from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.output import output_option, show_rows
from clockmill.serde import decode
from clockmill.storage import components, pages, reports

_ALL = 100_000


@click.command("list-import-errors", cls=Command)
@output_option
@pass_app
def list_import_errors(app: App, output: str) -> None:
    """List the DAG files that could not be imported."""
    found = app.read(lambda connection: pages.list_import_errors(connection, limit=_ALL))
    rows = [{"file": each.file, "line": each.line, "message": each.message} for each in found]
    show_rows(rows, ["file", "line", "message"], output)


@click.command(cls=Command)
@output_option
@pass_app
def report(app: App, output: str) -> None:
    """Show what the parsing of each DAG file took, the slowest first."""
    rows = [
        {
            "file": each.file,
            "seconds": None if each.seconds is None else round(each.seconds, 6),
            "dags": len(each.dag_ids),
            "tasks": sum(len(decode(document).tasks) for document in each.documents),
            "dag_ids": list(each.dag_ids),
        }
        for each in sorted(app.read(reports.report_files), key=lambda each: -(each.seconds or 0))
    ]
    show_rows(rows, ["file", "seconds", "dags", "tasks", "dag_ids"], output)


@click.command(cls=Command)
@pass_app
def reserialize(app: App) -> None:
    """Parse every DAG file again, also those that did not change."""
    from clockmill.cli import wiring
    from clockmill.storage.dags import forget_parsed_files

    app.write(forget_parsed_files)
    if _is_parsing(app):
        # It may have been started with another folder than the settings name, so the work is left to it.
        seconds = app.settings.dags.scan_interval_seconds
        click.echo(f"The running dag-processor parses every file again within {seconds:g} seconds.")
        return
    processor = wiring.make_dag_processor(app.settings, app.database, app.clock)
    try:
        processor.run_once()
    finally:
        processor.close()
    errors = app.read(lambda connection: pages.list_import_errors(connection, limit=_ALL))
    click.echo("Every file was parsed again" + (f"; {len(errors)} could not be imported." if errors else "."))


def _is_parsing(app: App) -> bool:
    now = app.clock.now()
    return any(each.name == "dag-processor" and each.is_recent(now) for each in app.read(components.list_components))
