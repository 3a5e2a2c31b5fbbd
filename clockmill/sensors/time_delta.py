"""Sensors of a length of time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from clockmill.errors import DagDefinitionError
from clockmill.model.context import Context
from clockmill.sensors.date_time import MomentSensor


class TimeDeltaSensor(MomentSensor):
    """Waits until some time after the end of the data interval of the run.

    :param delta: how long after it; after ``run_after`` in a run without a data interval.
    """

    def __init__(self, *, delta: timedelta, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(delta, timedelta):
            raise DagDefinitionError(f"TimeDeltaSensor {self.task_id!r}: delta must be a timedelta, not {delta!r}.")
        self.delta = delta

    def moment(self, context: Context) -> datetime:
        """The end of the interval and that much more."""
        run = context["dag_run"]
        end: datetime = run.data_interval_end or run.run_after
        return end + self.delta


class WaitSensor(MomentSensor):
    """Waits for some time from the first start of the try.

    :param time_to_wait: how long; a whole number is one of minutes.
    """

    def __init__(self, *, time_to_wait: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        length: Any = timedelta(minutes=time_to_wait) if isinstance(time_to_wait, int) else time_to_wait
        if not isinstance(length, timedelta) or length < timedelta(0):
            raise DagDefinitionError(
                f"WaitSensor {self.task_id!r}: time_to_wait must be a timedelta or a number of minutes, not negative, "
                f"not {time_to_wait!r}."
            )
        self.time_to_wait = length

    def moment(self, context: Context) -> datetime:
        """The first start and that much more."""
        ti = context["ti"]
        began: datetime = ti.first_start or ti.clock.now()
        return began + self.time_to_wait
