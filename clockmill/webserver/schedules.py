"""When a DAG was due and will be, for its page."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from clockmill.actions.schedules import schedule_for
from clockmill.errors import DagDefinitionError
from clockmill.serde import Document
from clockmill.timetables import Preview, preview
from clockmill.webserver.site import current_site

TICKS_SHOWN = 5


def ticks_around(document: Document) -> Preview | None:
    """The ticks before and after now, and what the next change of the clock does to them; None when nobody can tell."""
    site = current_site()
    try:
        schedule = site.database.read(lambda connection: schedule_for(connection, document))
    except DagDefinitionError:
        return None
    return preview(schedule, document.timezone, site.clock.now(), number=TICKS_SHOWN, previous=TICKS_SHOWN)


def local(moment: datetime, zone: str) -> str:
    """``Tue 2026-11-24 02:30 CET``, with seconds where there are any."""
    there = moment.astimezone(ZoneInfo(zone))
    return f"{there:%a %Y-%m-%d %H:%M:%S %Z}" if there.second else f"{there:%a %Y-%m-%d %H:%M %Z}"


def bound(moment: datetime, zone: str) -> str:
    """The first or last date of a stretch: ``2026-01-31`` where a whole day is meant, else with its local time."""
    there = moment.astimezone(ZoneInfo(zone))
    is_first = there.time() == datetime.min.time()
    is_last = there.time() == datetime.max.time()
    return f"{there:%Y-%m-%d}" if is_first or is_last else f"{there:%Y-%m-%d %H:%M}"
