"""What arguments look like: instants, JSON objects, the options that several commands share."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import click

from clockmill.model.zones import YEARS
from clockmill.state.backfill import StopAt


def to_moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """Callback of an option or argument that is an ISO 8601 date or time, perhaps without an offset.

    :raises click.BadParameter: when it is none.
    """
    try:
        moment = None if value is None else datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a time such as 2026-01-31 or 2026-01-31T06:00:00+00:00") from None
    if moment is not None and moment.year not in YEARS:
        raise click.BadParameter(f"{value!r} lies outside the years {YEARS.start} to {YEARS.stop - 1}")
    return moment


def to_day_or_moment(context: click.Context, parameter: click.Parameter, value: str) -> date:
    """Callback of an option that is an ISO 8601 day or time, perhaps without an offset; a day stays a day.

    :raises click.BadParameter: when it is neither.
    """
    moment = to_moment(context, parameter, value)
    try:
        return date.fromisoformat(value)
    except ValueError:
        assert moment is not None
        return moment


def to_last_moment(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Callback of an option that is the end of a range, included: a day without a time is all of that day.

    :raises click.BadParameter: when it is neither.
    """
    last = None if value is None else to_day_or_moment(context, parameter, value)
    return last if last is None or isinstance(last, datetime) else datetime.combine(last, time.max)


def to_failures(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    """Callback of an option that is a number of failures or a percentage; empty when it is left out.

    :raises click.BadParameter: when it is neither.
    """
    try:
        return "" if value is None else StopAt.parse(value).text
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def to_json_object(_context: click.Context, _parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """Callback of an option that is a JSON object.

    :raises click.BadParameter: when it is none.
    """
    if value is None:
        return None
    try:
        found = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"it is not valid JSON: {error}") from None
    except RecursionError:
        raise click.BadParameter("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise click.BadParameter('it must be a JSON object such as {"key": "value"}')
    return found


conf_option = click.option(
    "--conf", callback=to_json_object, metavar="JSON", help="Parameters of the run, a JSON object."
)
dag_file_option = click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The DAG file; else the DAG folder and the examples are looked through.",
)
map_index_option = click.option(
    "--map-index", type=int, default=-1, show_default=True, help="Which one of a mapped task; -1 of an unmapped one."
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
show_secrets_option = click.option("--show-secrets", is_flag=True, help="Do not mask secrets.")
