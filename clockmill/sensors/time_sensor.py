"""A sensor of a time of day."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

from clockmill.errors import DagDefinitionError
from clockmill.model.context import Context
from clockmill.sensors.date_time import MomentSensor


class TimeSensor(MomentSensor):
    """Waits until a time of day, on the day on which this try first began.

    :param target_time: in the time zone of the DAG unless it has one. A time that a change of daylight saving leaves
        out is reached an hour later, and one that comes twice when it comes first.
    """

    def __init__(self, *, target_time: time, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(target_time, time):
            raise DagDefinitionError(f"TimeSensor {self.task_id!r}: target_time must be a time, not {target_time!r}.")
        self.target_time = target_time

    def moment(self, context: Context) -> datetime:
        """That time on that day."""
        ti = context["ti"]
        began = self.local(ti.first_start or ti.clock.now())
        zone = self.target_time.tzinfo or began.tzinfo
        return datetime.combine(began.astimezone(zone).date(), self.target_time, zone)
