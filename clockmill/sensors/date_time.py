"""A sensor of a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from clockmill.errors import UsageError
from clockmill.model import checks
from clockmill.model.context import Context
from clockmill.sensors.base import BaseSensorOperator
from clockmill.triggers.temporal import DateTimeTrigger


class MomentSensor(BaseSensorOperator):
    """The base of sensors that wait for a moment: define :meth:`moment`."""

    can_defer: ClassVar[bool] = True

    def moment(self, context: Context) -> datetime:
        """The moment, aware; the same each time that it is asked in one try."""
        raise NotImplementedError(f"{type(self).__name__} has no method moment.")

    def poke(self, context: Context) -> bool:
        """Whether it has come."""
        moment = self.moment(context)
        self.log.info("Waiting for %s.", moment.isoformat())
        return bool(context["ti"].clock.now() >= moment)

    def next_wait(self, context: Context, number: int) -> timedelta:
        """As long as any sensor, but never beyond the moment, which is known."""
        now: datetime = context["ti"].clock.now()
        return min(super().next_wait(context, number), self.moment(context) - now)

    def make_trigger(self, context: Context) -> DateTimeTrigger:
        """What fires then."""
        return DateTimeTrigger(self.moment(context).astimezone(UTC))

    def local(self, moment: datetime) -> datetime:
        """``moment`` in the time zone of the DAG; a naive one is meant there."""
        zone = self.local_zone()
        return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


class DateTimeSensor(MomentSensor):
    """Waits for a moment.

    :param target_time: a datetime or ISO 8601 text, templated; without an offset, in the time zone of the DAG.
    """

    template_fields: Sequence[str] = ("target_time",)

    def __init__(self, *, target_time: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_time = target_time

    def moment(self, context: Context) -> datetime:
        """The moment that the template gives.

        :raises UsageError: when it is no time.
        """
        try:
            return self.local(checks.moment(self.target_time))
        except ValueError as error:
            raise UsageError(f"Task {self.task_id!r}: target_time {error}.") from None
