"""The short forms of dates that templates use, as filters and as keys of the context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time


def ds(value: date | None) -> str | None:
    """``2026-01-31``; None stays None, as in each of these functions."""
    return None if value is None else value.strftime("%Y-%m-%d")


def ds_nodash(value: date | None) -> str | None:
    """``20260131``."""
    return None if value is None else value.strftime("%Y%m%d")


def ts(value: date | time | None) -> str | None:
    """``2026-01-31T06:00:00+00:00``."""
    return None if value is None else value.isoformat()


def ts_nodash(value: datetime | None) -> str | None:
    """``20260131T060000``, without a time zone."""
    return None if value is None else value.strftime("%Y%m%dT%H%M%S")


def ts_nodash_with_tz(value: date | time | None) -> str | None:
    """``20260131T060000+0000``."""
    return None if value is None else value.isoformat().replace("-", "").replace(":", "")


FILTERS: Mapping[str, Callable[..., str | None]] = {
    "ds": ds,
    "ds_nodash": ds_nodash,
    "ts": ts,
    "ts_nodash": ts_nodash,
    "ts_nodash_with_tz": ts_nodash_with_tz,
}
