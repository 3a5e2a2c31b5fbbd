"""Triggers that wait for a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from clockmill.clock import SystemClock
from clockmill.errors import UsageError
from clockmill.triggers.base import BaseTrigger, TriggerEvent, sleep_until


class DateTimeTrigger(BaseTrigger):
    """Fires at ``moment``, or at once when it has passed; the event is the moment.

    :param moment: an aware instant.
    :raises UsageError: when it has no time zone.
    """

    def __init__(self, moment: datetime) -> None:
        if moment.tzinfo is None:
            raise UsageError(f"DateTimeTrigger waits for a datetime with a time zone, not {moment!r}.")
        self.moment = moment

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until then."""
        await sleep_until(self.moment)
        yield TriggerEvent(self.moment)


class TimeDeltaTrigger(DateTimeTrigger):
    """Fires ``delta`` after it was made; whoever runs it later still waits for that moment alone."""

    def __init__(self, delta: timedelta) -> None:
        super().__init__(SystemClock().now() + delta)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As a trigger of the moment: made anew, it does not begin to count again."""
        return f"{DateTimeTrigger.__module__}.{DateTimeTrigger.__qualname__}", {"moment": self.moment}
