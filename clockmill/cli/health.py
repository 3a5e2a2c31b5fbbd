"""``health``: whether the services go round, for people, and for what restarts them."""

from __future__ import annotations

from typing import Any

import click

from clockmill.cli.app import App
from clockmill.cli.base import EXIT_FAILED, Command, pass_app
from clockmill.cli.output import output_option, show_rows
from clockmill.host.processes import host_name
from clockmill.storage.components import ALWAYS_THERE, ComponentRow, list_components

_COLUMNS = ["service", "host", "process", "status", "last_loop"]
_SERVICES = (*ALWAYS_THERE, "triggerer")


@click.command(cls=Command)
@click.argument("service", type=click.Choice(_SERVICES), required=False)
@click.option("--here", is_flag=True, help="Count only what runs on this machine.")
@output_option
@click.pass_context
@pass_app
def health(app: App, context: click.Context, service: str | None, here: bool, output: str) -> None:
    """Show which services go round; exit 1 when one is missing.

    There have to be a scheduler and a DAG processor, or the SERVICE that is named. One of several is enough.
    """
    now = app.clock.now()
    found = [each for each in app.read(list_components) if not here or each.host == host_name()]
    found = [each for each in found if service in (None, each.name)]
    wanted = ALWAYS_THERE if service is None else (service,)
    well = {each.name for each in found if each.is_recent(now)}
    missing = [name for name in wanted if name not in {each.name for each in found}]
    rows = [_record(each, "healthy" if each.is_recent(now) else "unhealthy") for each in found]
    show_rows([*rows, *map(_missing, missing)], _COLUMNS, output)
    if not well.issuperset({*wanted, *(each.name for each in found)}):
        context.exit(EXIT_FAILED)


def _record(each: ComponentRow, status: str) -> dict[str, Any]:
    return {
        "service": each.name,
        "host": each.host,
        "process": each.pid,
        "status": status,
        "last_loop": each.last_loop,
    }


def _missing(name: str) -> dict[str, Any]:
    return {"service": name, "host": None, "process": None, "status": "missing", "last_loop": None}
