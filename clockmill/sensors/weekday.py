"""A sensor of a day of the week."""

from __future__ import annotations

from typing import Any

from clockmill.model import checks
from clockmill.model.context import Context
from clockmill.model.weekday import week_days
from clockmill.sensors.base import BaseSensorOperator


class DayOfWeekSensor(BaseSensorOperator):
    """Waits until it is one of some days of the week, in the time zone of the DAG.

    :param week_day: a day or several, by name or as :class:`~clockmill.model.weekday.WeekDay`.
    :param use_task_logical_date: whether the day of the logical date counts, which never changes, not that of today.
    """

    def __init__(self, *, week_day: Any, use_task_logical_date: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"DayOfWeekSensor {self.task_id!r}"
        given = {"week_day": week_day, "use_task_logical_date": use_task_logical_date}
        stored = checks.checked(owner, {"week_day": week_days, "use_task_logical_date": checks.flag}, given)
        self.week_day = stored["week_day"]
        self.use_task_logical_date: bool = stored["use_task_logical_date"]

    def poke(self, context: Context) -> bool:
        """Whether it is."""
        moment = context["logical_date"] if self.use_task_logical_date else context["ti"].clock.now()
        local = moment.astimezone(self.local_zone())
        return local.isoweekday() in self.week_day
