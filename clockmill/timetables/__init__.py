"""When a DAG is due: cron, lengths of time, once, always, never.

Everything here is pure: no clock is read, so that the scheduler, a preview and a test get the same answers. What
happens to local times that daylight saving skips or repeats is said in :mod:`clockmill.timetables.zones`.
"""

from clockmill.timetables.base import Tick, Timetable
from clockmill.timetables.factory import from_dict, make_timetable
from clockmill.timetables.schedule import Schedule, first_tick, tick_after_change
from clockmill.timetables.timetables import (
    ContinuousTimetable,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    NullTimetable,
    OnceTimetable,
)
from clockmill.timetables.zones import zone_named

__all__ = [
    "ContinuousTimetable",
    "CronDataIntervalTimetable",
    "CronTriggerTimetable",
    "DeltaDataIntervalTimetable",
    "DeltaTriggerTimetable",
    "NullTimetable",
    "OnceTimetable",
    "Schedule",
    "Tick",
    "Timetable",
    "first_tick",
    "from_dict",
    "make_timetable",
    "tick_after_change",
    "zone_named",
]
