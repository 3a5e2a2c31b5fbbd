"""How rows and records are shown: a table for people, JSON, YAML or tab-separated text for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clockmill.clock import iso

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])
Row = Mapping[str, Any]

#: Wide enough that a table in a file or pipe is never folded.
_UNBOUNDED = 10_000

#: Framing and colouring more rows than this takes longer than finding them did.
_MOST_FRAMED = 1_000

#: The colours of the states of runs, tasks, attempts, backfills and callbacks, the same everywhere on a terminal.
STATE_STYLES = {
    "success": "green",
    "running": "bright_green",
    "failed": "red",
    "upstream_failed": "dark_orange",
    "skipped": "magenta",
    "queued": "bright_black",
    "scheduled": "yellow",
    "up_for_retry": "yellow",
    "restarting": "yellow",
    "none": "bright_black",
    "removed": "bright_black",
    "deferred": "medium_purple1",
    "up_for_reschedule": "cyan",
    "rescheduled": "cyan",
    "stopping": "yellow",
    "stopped": "bright_black",
    "released": "bright_black",
    "lost": "yellow",
    "paused": "yellow",
    "cancelled": "magenta",
    "pending": "yellow",
}

output_option = click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", "yaml", "plain"]),
    default="table",
    show_default=True,
    help="The form of what is shown.",
)


def show_rows(rows: Iterable[Row], columns: Sequence[str], output: str) -> None:
    """Show a list, with these columns in this order."""
    shown = _on_terminal if output == "table" and sys.stdout.isatty() else _value
    chosen = [{column: shown(row[column]) for column in columns} for row in rows]
    if output == "json":
        _show_json(chosen)
    elif output == "yaml":
        _show_yaml(chosen)
    elif output == "plain":
        click.echo("\t".join(columns))
        for row in chosen:
            click.echo("\t".join(_one_line(row[column]) for column in columns))
    else:
        _show_table(chosen, columns)


def show_record(record: Row, output: str) -> None:
    """Show one thing with its fields."""
    plain = {key: _value(value) for key, value in record.items()}
    if output == "json":
        _show_json(plain)
    elif output == "yaml":
        _show_yaml(plain)
    else:
        show_rows([{"field": key, "value": value} for key, value in plain.items()], ["field", "value"], output)


def console(stderr: bool = False) -> Console:
    """A rich console on the present standard output or error; in a file or pipe it never folds lines."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _UNBOUNDED, highlight=False, soft_wrap=False)


def counted(number: int, noun: str) -> str:
    """``1 pool``, ``2 pools``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def warn(message: str) -> None:
    """Tell something on stderr that does not stop the command."""
    click.echo(f"Warning: {message}", err=True)


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(item) for item in value]
    return value


def _on_terminal(value: Any) -> Any:
    """As :func:`_value`, but a moment is to the second, and can be broken in two where there is little room."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if isinstance(value, datetime) else _value(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, list | dict):
        import json

        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _one_line(value: Any) -> str:
    return " ".join(_text(value).split("\n")).replace("\t", " ")


def _show_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _show_yaml(value: Any) -> None:
    import yaml

    click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)


def _show_columns(rows: Sequence[Row], columns: Sequence[str]) -> None:
    lines = [list(columns), *([_one_line(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    text = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    click.echo("\n".join(text))


def _show_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    if not rows:
        click.echo("Nothing to show.", err=True)
        return
    if len(rows) > _MOST_FRAMED:
        _show_columns(rows, columns)
        return
    # An id that is broken over two lines cannot be copied, so other columns give way first.
    whole = {name for name in columns if name.endswith("_id") or name == "state"}
    table = Table(*(Column(name, no_wrap=name in whole) for name in columns), header_style="bold")
    for row in rows:
        cells = [Text(_text(row[column]), overflow="fold") for column in columns]
        for column, cell in zip(columns, cells, strict=True):
            if column == "state":
                cell.stylize(STATE_STYLES.get(cell.plain, ""))
        table.add_row(*cells)
    console().print(table)
