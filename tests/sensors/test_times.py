"""Sensors of moments, times of day and days of the week, exact to the moment."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from clockmill import DAG, BaseOperator
from clockmill.errors import DagDefinitionError
from clockmill.model.weekday import WeekDay
from clockmill.sensors.date_time import DateTimeSensor
from clockmill.sensors.time_delta import TimeDeltaSensor, WaitSensor
from clockmill.sensors.time_sensor import TimeSensor
from clockmill.sensors.weekday import DayOfWeekSensor
from clockmill.testing import FakeClock
from clockmill.triggers.temporal import DateTimeTrigger
from clockmill.xcom import decode
from tests.waiting import NOON, Try, one_try

MOMENT = timedelta(microseconds=1)


def at(hour: int, minute: int = 0, day: int = 31) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "arguments", "zone", "moment"),
    [
        (DateTimeSensor, {"target_time": datetime(2026, 1, 31, 13, tzinfo=UTC)}, "UTC", at(13)),
        (DateTimeSensor, {"target_time": "2026-01-31T15:00:00+01:00"}, "UTC", at(14)),
        (DateTimeSensor, {"target_time": "2026-01-31T15:00:00"}, "Europe/Berlin", at(14)),
        (DateTimeSensor, {"target_time": "{{ logical_date + macros.timedelta(hours=2) }}"}, "UTC", at(14)),
        (TimeSensor, {"target_time": time(13, 30)}, "UTC", at(13, 30)),
        (TimeSensor, {"target_time": time(23)}, "America/New_York", at(4, day=1).replace(month=2)),
        (TimeSensor, {"target_time": time(13, tzinfo=UTC)}, "Asia/Tokyo", at(13)),
        (TimeDeltaSensor, {"delta": timedelta(hours=3)}, "UTC", at(15)),
        (WaitSensor, {"time_to_wait": timedelta(minutes=5)}, "UTC", at(12, 5)),
        (WaitSensor, {"time_to_wait": 5}, "UTC", at(12, 5)),
    ],
)
def test_it_is_satisfied_at_the_moment_and_not_before(
    kind: type[BaseOperator], arguments: dict[str, Any], zone: str, moment: datetime
) -> None:
    waiting = one_try(kind, timezone=zone, mode="reschedule", **arguments)
    waiting.first_start = NOON.isoformat()
    waiting.clock.set(moment - MOMENT)
    assert waiting.attempt().outcome == "rescheduled"
    waiting.clock.set(moment)
    assert waiting.attempt().outcome == "success"

    deferred = one_try(kind, timezone=zone, deferrable=True, **arguments)
    told = deferred.attempt().defer
    assert told is not None
    assert told["class_path"] == "clockmill.triggers.temporal.DateTimeTrigger"
    assert DateTimeTrigger(**decode(told["kwargs"])).moment == moment
    assert deferred.go_on(moment).outcome == "success"


def test_it_does_not_sleep_beyond_a_moment_that_it_knows() -> None:
    waiting = one_try(WaitSensor, time_to_wait=timedelta(seconds=90), poke_interval=60)
    assert waiting.attempt().outcome == "success"
    assert waiting.clock.now() == NOON + timedelta(seconds=90)


def test_the_delta_counts_from_the_end_of_the_data_interval_where_there_is_one() -> None:
    waiting = one_try(TimeDeltaSensor, delta=timedelta(hours=1), mode="reschedule")
    waiting.run = {"data_interval_end": at(10).isoformat()}
    assert waiting.attempt().outcome == "success"


def test_a_time_of_day_is_that_of_the_day_on_which_the_try_began() -> None:
    waiting = one_try(TimeSensor, target_time=time(23, 59), mode="reschedule")
    waiting.first_start = at(23, 58).isoformat()
    waiting.clock.set(datetime(2026, 2, 1, 0, 1, tzinfo=UTC))
    assert waiting.attempt().outcome == "success"


@pytest.mark.parametrize(
    ("day", "target", "moment"),
    [
        ("2026-03-29", time(2, 30), "2026-03-29T01:30:00+00:00"),  # 02:30 is left out: 03:30 summer time
        ("2026-10-25", time(2, 30), "2026-10-25T00:30:00+00:00"),  # 02:30 comes twice
    ],
)
def test_a_time_of_day_over_changes_of_daylight_saving(day: str, target: time, moment: str) -> None:
    waiting = one_try(TimeSensor, timezone="Europe/Berlin", target_time=target, mode="reschedule")
    waiting.first_start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).isoformat()
    waiting.clock.set(datetime.fromisoformat(moment) - MOMENT)
    assert waiting.attempt().outcome == "rescheduled"
    waiting.clock.set(datetime.fromisoformat(moment))
    assert waiting.attempt().outcome == "success"


@pytest.mark.parametrize(
    ("zone", "moment", "day", "outcome"),
    [
        ("UTC", NOON, "Saturday", "success"),
        ("UTC", NOON, ["saturday", WeekDay.SUNDAY], "success"),
        ("UTC", NOON, {WeekDay.FRIDAY}, "rescheduled"),
        ("UTC", datetime(2026, 2, 1, tzinfo=UTC) - MOMENT, "Sunday", "rescheduled"),
        ("UTC", datetime(2026, 2, 1, tzinfo=UTC), "Sunday", "success"),
        ("Asia/Tokyo", at(15), "Sunday", "success"),
    ],
)
def test_the_day_of_the_week_is_that_of_the_zone_of_the_dag(
    zone: str, moment: datetime, day: Any, outcome: str
) -> None:
    waiting = one_try(DayOfWeekSensor, timezone=zone, week_day=day, mode="reschedule")
    waiting.clock.set(moment)
    assert waiting.attempt().outcome == outcome


def test_the_day_of_the_logical_date_counts_where_it_is_asked_for() -> None:
    waiting = one_try(DayOfWeekSensor, week_day="Saturday", use_task_logical_date=True, mode="reschedule")
    waiting.clock = FakeClock(NOON + timedelta(days=3))
    assert waiting.attempt().outcome == "success"


def test_a_template_that_gives_no_time_is_told() -> None:
    report = one_try(DateTimeSensor, target_time="tomorrow").attempt()
    assert report.reason == "UsageError: Task 'x': target_time must be a datetime or ISO 8601 text, not 'tomorrow'."


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (TimeSensor, {"target_time": "13:00"}, "target_time must be a time, not '13:00'"),
        (TimeDeltaSensor, {"delta": 5}, "delta must be a timedelta, not 5"),
        (WaitSensor, {"time_to_wait": -1}, "time_to_wait must be a timedelta or a number of minutes, not negative"),
        (DayOfWeekSensor, {"week_day": "Mondy"}, "must name days of the week, such as 'Monday', not 'Mondy'"),
        (DayOfWeekSensor, {"week_day": []}, "week_day must name at least one day of the week"),
        (DayOfWeekSensor, {"week_day": "Monday", "deferrable": True}, "cannot be deferred"),
    ],
)
def test_what_cannot_be_is_refused_in_the_file(
    kind: type[BaseOperator], arguments: dict[str, Any], message: str
) -> None:
    with DAG("d"), pytest.raises(DagDefinitionError) as refused:
        kind(task_id="x", **arguments)
    assert message in str(refused.value)


def test_the_moment_is_in_the_log(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    waiting: Try = one_try(WaitSensor, time_to_wait=0)
    waiting.attempt()
    assert "Waiting for 2026-01-31T12:00:00+00:00." in caplog.text
