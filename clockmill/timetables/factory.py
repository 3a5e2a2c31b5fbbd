"""From what an author writes, and from what was stored, to a timetable."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from dateutil.relativedelta import relativedelta

from clockmill.errors import DagDefinitionError
from clockmill.timetables.base import Timetable
from clockmill.timetables.cron_timetables import (
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    MultipleCronTriggerTimetable,
)
from clockmill.timetables.custom import AuthoredTimetable, CustomTimetable, StoredTimetable
from clockmill.timetables.events import EventsTimetable
from clockmill.timetables.timetables import (
    ContinuousTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    NullTimetable,
    OnceTimetable,
)

_KINDS: dict[str, Any] = {
    timetable.kind: timetable
    for timetable in (
        CronTriggerTimetable,
        CronDataIntervalTimetable,
        MultipleCronTriggerTimetable,
        EventsTimetable,
        StoredTimetable,
        DeltaTriggerTimetable,
        DeltaDataIntervalTimetable,
        OnceTimetable,
        ContinuousTimetable,
        NullTimetable,
    )
}


def make_timetable(
    schedule: object, timezone: str = "UTC", start_date: datetime | None = None, dag_id: str = ""
) -> Timetable:
    """The timetable that ``schedule`` of a DAG means.

    :param schedule: a cron expression, a preset, a timedelta or relativedelta, a timetable, or None.
    :param dag_id: what the delays of a timetable with jitter depend on.
    :param timezone: the DAG's zone, in which cron expressions and calendar lengths are meant.
    :param start_date: the DAG's start date, aware; lengths are counted from it.
    :raises DagDefinitionError: when it means nothing.
    """
    match schedule:
        case None:
            return NullTimetable()
        case str():
            return _from_text(schedule, timezone, start_date)
        case timedelta() | relativedelta():
            return DeltaTriggerTimetable(schedule, start_date, timezone)
        case DeltaTriggerTimetable() | DeltaDataIntervalTimetable():
            return schedule.anchored(start_date, timezone)
        case CronTriggerTimetable() | CronDataIntervalTimetable() | MultipleCronTriggerTimetable():
            return schedule.seeded(dag_id)
        case EventsTimetable():
            return schedule.in_zone(timezone)
        case CustomTimetable():
            return AuthoredTimetable(schedule)
        case OnceTimetable(at=None):
            return OnceTimetable(start_date)
        case _ if type(schedule) in _KINDS.values():
            return cast(Timetable, schedule)
    raise DagDefinitionError(
        f"The schedule {schedule!r} is a {type(schedule).__name__}; write a cron expression, a preset such as "
        "'@daily', a timedelta or relativedelta, a timetable of clockmill.timetables, a CustomTimetable, or None."
    )


def from_dict(data: dict[str, Any]) -> Timetable:
    """The timetable that its ``to_dict`` wrote.

    :raises DagDefinitionError: when it is of a kind that this program does not know.
    """
    kind = data.get("type")
    if kind not in _KINDS:
        raise DagDefinitionError(f"The timetable kind {kind!r} is not known to this version of Clockmill.")
    return cast(Timetable, _KINDS[kind].from_dict(data))


def _from_text(schedule: str, timezone: str, start_date: datetime | None) -> Timetable:
    text = schedule.strip()
    if text == "@once":
        return OnceTimetable(start_date)
    if text == "@continuous":
        return ContinuousTimetable()
    if text in ("", "None"):
        raise DagDefinitionError(f"The schedule {schedule!r} says nothing; write schedule=None for no schedule.")
    return CronTriggerTimetable(text, timezone)
