"""What a template finds under ``macros``.

The modules that it offers are loaded when a template first asks for them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from clockmill.clock import SystemClock
from clockmill.errors import UsageError, did_you_mean

_MODULES = {"dateutil": "dateutil", "json": "json", "time": "time", "uuid": "uuid", "yaml": "yaml"}
_FUNCTIONS = ("datetime", "datetime_diff_for_humans", "ds_add", "ds_format", "ds_format_locale", "random", "timedelta")

_UNITS = (("year", 365 * 86400), ("month", 30 * 86400), ("week", 7 * 86400), ("day", 86400), ("hour", 3600))


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name == "random":
        return import_module("random").random
    raise AttributeError(f"There is no macro {name!r}.{did_you_mean(name, [*_MODULES, *_FUNCTIONS])}")


def ds_add(ds: str, days: int) -> str:
    """The day ``days`` days after ``ds``, both as ``YYYY-MM-DD``; a negative number goes back."""
    return (datetime.fromisoformat(ds) + timedelta(days=days)).strftime("%Y-%m-%d")


def ds_format(ds: str, input_format: str, output_format: str) -> str:
    """``ds`` read by one format of ``strptime`` and written by another."""
    # A day has no zone: what is read is written again, nothing is converted.
    return datetime.strptime(str(ds), input_format).strftime(output_format)  # noqa: DTZ007


def ds_format_locale(ds: str, input_format: str, output_format: str, locale: str | None = None) -> str:
    """Like :func:`ds_format`, with names of months and days in another language.

    :param output_format: a pattern of the library babel, such as ``EEE, MMM d``.
    :raises UsageError: when babel is not installed.
    """
    try:
        babel = import_module("babel.dates")
    except ImportError as error:
        raise UsageError(
            "The macro ds_format_locale needs the package 'babel'; install it beside Clockmill."
        ) from error
    moment = datetime.strptime(str(ds), input_format)  # noqa: DTZ007
    formatted = babel.format_datetime(moment, format=output_format, locale=locale or babel.LC_TIME)
    return str(formatted)


def datetime_diff_for_humans(dt: datetime, since: datetime | None = None) -> str:
    """How far ``dt`` lies from ``since``, in the largest unit: ``2 days before``, ``1 hour after``.

    :param since: the present when None; the answer then ends in ``ago`` or ``from now``.
    """
    seconds = (dt - (since or SystemClock().now())).total_seconds()
    past, future = ("ago", "from now") if since is None else ("before", "after")
    amount, unit = _largest_unit(abs(seconds))
    plural = "" if amount == 1 else "s"
    return f"{amount} {unit}{plural} {past if seconds < 0 else future}"


def _largest_unit(seconds: float) -> tuple[int, str]:
    for unit, size in (*_UNITS, ("minute", 60)):
        if seconds >= size:
            return int(seconds // size), unit
    return int(seconds), "second"
