"""When a DAG is due: cron, lengths of time, once, always, never.

Everything here is pure: no clock is read, so that the scheduler, a preview and a test get the same answers. What
happens to local times that daylight saving skips or repeats is said in :mod:`clockmill.timetables.zones`.
"""

from clockmill.timetables.base import Tick, Timetable
from clockmill.timetables.cron_timetables import (
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    MultipleCronTriggerTimetable,
)
from clockmill.timetables.custom import AuthoredTimetable, CustomTimetable, StoredTimetable
from clockmill.timetables.events import EventsTimetable
from clockmill.timetables.factory import from_dict, make_timetable
from clockmill.timetables.preview import Preview, ZoneChange, next_change, preview
from clockmill.timetables.schedule import Schedule, first_tick, tick_after_change
from clockmill.timetables.ticklist import TickList, tick_list
from clockmill.timetables.timetables import (
    ContinuousTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    NullTimetable,
    OnceTimetable,
)
from clockmill.timetables.zones import zone_named

__all__ = [
    "AuthoredTimetable",
    "ContinuousTimetable",
    "CronDataIntervalTimetable",
    "CronTriggerTimetable",
    "CustomTimetable",
    "DeltaDataIntervalTimetable",
    "DeltaTriggerTimetable",
    "EventsTimetable",
    "MultipleCronTriggerTimetable",
    "NullTimetable",
    "OnceTimetable",
    "Preview",
    "Schedule",
    "StoredTimetable",
    "Tick",
    "TickList",
    "Timetable",
    "ZoneChange",
    "first_tick",
    "from_dict",
    "make_timetable",
    "next_change",
    "preview",
    "tick_after_change",
    "tick_list",
    "zone_named",
]
