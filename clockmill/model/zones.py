"""The name of a time zone, from what authors use to say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING

from clockmill.errors import DagDefinitionError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

#: In each of them any offset from UTC leaves a date that Python knows.
YEARS = range(2, 9999)
_HOUR = timedelta(hours=1)


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo | ZoneInfo:
    """The time zone of that name.

    :raises KeyError: when there is none.
    :raises ValueError: when it cannot be the name of one.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def aware(moment: datetime, zone: str) -> datetime:
    """``moment`` with a zone: a naive one is a local time of ``zone``."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone_of(zone))


def in_utc(moment: datetime, zone: str) -> datetime:
    """``moment`` in UTC: a naive one is a local time of ``zone``."""
    return aware(moment, zone).astimezone(UTC)


def zone_name(owner: str, zone: str | tzinfo) -> str:
    """The IANA name of ``zone``.

    :param zone: a name, or a ``tzinfo`` that has one (of zoneinfo, pendulum, pytz) or is a whole number of hours.
    :raises DagDefinitionError: when there is no such zone, or it has no name.
    """
    name = zone if isinstance(zone, str) else _own_name(zone)
    if name is None:
        raise DagDefinitionError(f"{owner}: the time zone {zone!r} has no name; use zoneinfo.ZoneInfo('Area/City').")
    try:
        zone_of(name)
    except (KeyError, ValueError, OSError):
        from clockmill.timetables.zones import zone_named

        zone_named(name)  # says it better, and suggests the nearest name
    return name


def _own_name(zone: tzinfo) -> str | None:
    for attribute in ("key", "zone", "name"):
        name = getattr(zone, attribute, None)
        if isinstance(name, str):
            return name
    offset = zone.utcoffset(None)
    if offset is None:
        return None
    if offset == timedelta(0):
        return "UTC"
    hours, rest = divmod(offset, _HOUR)
    return f"Etc/GMT{-hours:+d}" if not rest and -12 <= hours <= 14 else None
