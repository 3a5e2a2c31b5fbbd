"""``dags next-runs`` and ``dags next-execution``: when a DAG is due."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.output import output_option, show_record, show_rows, warn
from clockmill.cli.params import to_moment
from clockmill.model.zones import in_utc
from clockmill.state import RunType

if TYPE_CHECKING:
    from clockmill.serde import Document
    from clockmill.timetables import Preview, Tick

_COLUMNS = ["run_after", "logical_date", "data_interval_start", "data_interval_end"]
_MOST = 10_000

_after_option = click.option(
    "--after", callback=to_moment, metavar="TIME", help="Those after this instant; now when it is left out."
)


@click.command("next-runs", cls=Command)
@click.argument("dag_id")
@click.option("--number", "-n", type=click.IntRange(0, _MOST), default=5, show_default=True, help="How many to come.")
@click.option("--previous", type=click.IntRange(0, _MOST), default=0, show_default=True, help="How many before them.")
@_after_option
@output_option
@pass_app
def next_runs(app: App, dag_id: str, number: int, previous: int, after: datetime | None, output: str) -> None:
    """Show when a DAG is due, and what the next change of its clock does to that."""
    document, found = _preview(app, dag_id, after, number, previous)
    if output in {"json", "yaml"}:
        record = {
            "dag_id": dag_id,
            "schedule": document.schedule,
            "timezone": document.timezone,
            "next": [_row(tick) for tick in found.upcoming],
            "previous": [_row(tick) for tick in found.previous],
            "clock_change": None if found.change is None else found.change.at,
            "note": found.note,
        }
        show_record(record, output)
    else:
        zone = ZoneInfo(found.zone)
        rows = [{**_row(tick), "local": _local(tick, zone), "when": "previous"} for tick in reversed(found.previous)]
        rows += [{**_row(tick), "local": _local(tick, zone), "when": "next"} for tick in found.upcoming]
        show_rows(rows, ["when", "local", *_COLUMNS], output)
        click.echo(found.note, err=output == "plain")
    _warn(app, document)


@click.command("next-execution", cls=Command)
@click.argument("dag_id")
@click.option("--num-executions", "-n", type=click.IntRange(1, _MOST), default=1, show_default=True, help="How many.")
@_after_option
@output_option
@pass_app
def next_execution(app: App, dag_id: str, num_executions: int, after: datetime | None, output: str) -> None:
    """Show when a DAG is due next; 'next-runs' tells more."""
    document, found = _preview(app, dag_id, after, num_executions, 0)
    show_rows([_row(tick) for tick in found.upcoming], _COLUMNS, output)
    _warn(app, document)


def _preview(app: App, dag_id: str, after: datetime | None, number: int, previous: int) -> tuple[Document, Preview]:
    from clockmill.actions.schedules import schedule_for
    from clockmill.timetables import preview

    document = app.read(lambda connection: lookup.newest_document(connection, dag_id))
    schedule = app.read(lambda connection: schedule_for(connection, document))
    moment = in_utc(after, document.timezone) if after else app.clock.now()
    return document, preview(schedule, document.timezone, moment, number=number, previous=previous)


def _row(tick: Tick) -> dict[str, Any]:
    return {
        "run_after": tick.run_after,
        "logical_date": tick.logical_date,
        "data_interval_start": tick.start,
        "data_interval_end": tick.end,
    }


def _local(tick: Tick, zone: ZoneInfo) -> str:
    return f"{tick.run_after.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}"


def _warn(app: App, document: Document) -> None:
    if app.read(lambda connection: lookup.the_dag(connection, document.dag_id)).is_paused:
        warn(f"The DAG {document.dag_id!r} is paused.")
    if document.allowed_run_types is not None and RunType.SCHEDULED not in document.allowed_run_types:
        warn(f"The DAG {document.dag_id!r} allows no scheduled runs, so none is made.")
