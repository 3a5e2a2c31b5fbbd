"""Lengths, intervals, once and always; what is stored is what is read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.errors import DagDefinitionError
from clockmill.timetables import (
    ContinuousTimetable,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    NullTimetable,
    OnceTimetable,
    Timetable,
    from_dict,
    make_timetable,
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


TIMETABLES = [
    CronTriggerTimetable("0 6 * * *", "Europe/Zurich"),
    CronTriggerTimetable("@weekly", interval=timedelta(days=7)),
    CronDataIntervalTimetable("30 2 * * *", "America/New_York"),
    DeltaTriggerTimetable(timedelta(hours=7), utc(2024, 1, 1)),
    DeltaTriggerTimetable(relativedelta(months=1, hours=5), utc(2024, 1, 31), "Europe/Zurich"),
    DeltaDataIntervalTimetable(relativedelta(days=1), utc(2024, 3, 28, 1, 30), "Europe/Zurich"),
    OnceTimetable(utc(2024, 6, 1)),
    OnceTimetable(),
    ContinuousTimetable(),
    ContinuousTimetable(timedelta(minutes=5)),
    NullTimetable(),
]


@pytest.mark.parametrize("timetable", TIMETABLES, ids=lambda t: f"{t.kind} {t.summary}")
def test_a_stored_timetable_gives_the_same_ticks(timetable: Timetable) -> None:
    again = from_dict(json.loads(json.dumps(timetable.to_dict())))
    assert again == timetable
    assert again.summary == timetable.summary
    assert isinstance(again, Timetable)
    moment = utc(2024, 3, 31)
    assert again.next_after(moment) == timetable.next_after(moment)
    assert again.newest_until(moment) == timetable.newest_until(moment)


@pytest.mark.parametrize("timetable", TIMETABLES, ids=lambda t: f"{t.kind} {t.summary}")
def test_ticks_between_are_those_that_follow_one_another(timetable: Timetable) -> None:
    first, last = utc(2024, 3, 28), utc(2024, 4, 2)
    ticks = list(timetable.ticks_between(first, last))
    for earlier, later in pairwise(ticks):
        assert timetable.next_after(earlier.run_after) == later
        assert earlier.run_after < later.run_after
    if ticks:
        assert timetable.newest_until(last) == ticks[-1]
        assert all(first < tick.run_after <= last for tick in ticks)


def test_the_logical_date_of_a_trigger_is_the_tick() -> None:
    tick = make_timetable("0 6 * * *").next_after(utc(2024, 1, 1))
    assert tick is not None
    assert tick.run_after == tick.logical_date == tick.start == tick.end == utc(2024, 1, 1, 6)


def test_a_trigger_with_an_interval_is_about_the_time_before_it() -> None:
    tick = CronTriggerTimetable("0 6 * * *", interval=timedelta(days=1)).next_after(utc(2024, 1, 1))
    assert tick is not None
    assert (tick.logical_date, tick.start, tick.end) == (utc(2024, 1, 1, 6), utc(2023, 12, 31, 6), utc(2024, 1, 1, 6))


def test_an_interval_timetable_is_due_when_its_interval_is_over() -> None:
    tick = CronDataIntervalTimetable("@daily").next_after(utc(2024, 1, 1))
    assert tick is not None
    assert (tick.run_after, tick.logical_date) == (utc(2024, 1, 2), utc(2024, 1, 1))
    assert (tick.start, tick.end) == (utc(2024, 1, 1), utc(2024, 1, 2))


def test_intervals_touch_without_gap_or_overlap_over_a_change_of_the_clock() -> None:
    timetable = CronDataIntervalTimetable("30 2 * * *", "Europe/Zurich")
    ticks = list(timetable.ticks_between(utc(2024, 3, 28), utc(2024, 4, 3)))
    assert all(earlier.end == later.start for earlier, later in pairwise(ticks))


def test_a_manual_run_of_an_interval_timetable_is_about_the_newest_whole_interval() -> None:
    tick = CronDataIntervalTimetable("@daily").manual(utc(2024, 1, 5, 17))
    assert (tick.run_after, tick.start, tick.end) == (utc(2024, 1, 5, 17), utc(2024, 1, 4), utc(2024, 1, 5))


@given(
    hours=st.integers(1, 200),
    anchor=st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2030-01-01")),
    steps=st.integers(0, 5000),
)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_a_timedelta_counts_from_the_start_date(hours: int, anchor: datetime, steps: int) -> None:
    start = anchor.replace(tzinfo=UTC)
    timetable = make_timetable(timedelta(hours=hours), "Europe/Zurich", start)
    tick = timetable.next_after(start + timedelta(hours=hours * steps))
    assert tick is not None and tick.run_after == start + timedelta(hours=hours * (steps + 1))
    assert timetable.newest_until(tick.run_after) == tick


def test_the_first_tick_of_a_length_is_the_start_date_and_nothing_is_before() -> None:
    start = utc(2024, 5, 5, 5)
    timetable = make_timetable(timedelta(days=3), "UTC", start)
    first = timetable.next_after(utc(2020, 1, 1))
    assert first is not None and first.run_after == start
    assert timetable.newest_until(start - timedelta(seconds=1)) is None


def test_the_first_interval_of_a_length_begins_at_the_start_date() -> None:
    start = utc(2024, 5, 5)
    tick = make_timetable(DeltaDataIntervalTimetable(timedelta(days=3)), "UTC", start).next_after(utc(2020, 1, 1))
    assert tick is not None and (tick.logical_date, tick.run_after) == (start, utc(2024, 5, 8))


def test_calendar_months_come_back_to_the_31st() -> None:
    timetable = make_timetable(relativedelta(months=1), "UTC", utc(2024, 1, 31))
    days = [tick.run_after.day for tick in timetable.ticks_between(utc(2024, 1, 1), utc(2024, 6, 1))]
    assert days == [31, 29, 31, 30, 31]


def test_a_calendar_day_keeps_its_local_hour_and_a_timedelta_does_not() -> None:
    start = datetime(2024, 3, 30, 6, tzinfo=ZoneInfo("Europe/Zurich"))

    def hours(delta: timedelta | relativedelta) -> list[int]:
        ticks = make_timetable(delta, "Europe/Zurich", start).ticks_between(utc(2024, 3, 30), utc(2024, 4, 2))
        return [tick.run_after.astimezone(ZoneInfo("Europe/Zurich")).hour for tick in ticks]

    assert hours(relativedelta(days=1)) == [6, 6, 6]
    assert hours(timedelta(days=1)) == [6, 7, 7]


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (timedelta(0), "the shortest is one second"),
        (timedelta(days=-1), "the shortest is one second"),
        (timedelta(microseconds=1), "the shortest is one second"),
        (relativedelta(), "must go forward"),
        (relativedelta(months=-1), "must go forward"),
        (relativedelta(months=1, days=-3), "must go forward"),
        (relativedelta(day=1), "fixes 'day'"),
        (42, "'@daily', a timedelta"),
        ([1, 2], "is a list"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(schedule: object, words: str) -> None:
    with pytest.raises(DagDefinitionError, match="The schedule") as caught:
        make_timetable(schedule)
    assert words in str(caught.value)


def test_a_timetable_of_an_unknown_kind_is_refused_when_read() -> None:
    with pytest.raises(DagDefinitionError, match="'lunar'"):
        from_dict({"type": "lunar"})


def test_once_ticks_at_the_start_date_only() -> None:
    timetable = make_timetable("@once", "UTC", utc(2024, 1, 1))
    tick = timetable.next_after(utc(2023, 1, 1))
    assert tick is not None and tick.run_after == utc(2024, 1, 1)
    assert timetable.next_after(tick.run_after) is None
    assert timetable.newest_until(utc(2023, 12, 31)) is None


def test_continuous_is_due_at_once_and_never_twice_for_the_same_moment() -> None:
    timetable = make_timetable("@continuous")
    now = utc(2024, 1, 1)
    newest = timetable.newest_until(now)
    assert newest is not None and newest.run_after == now
    following = timetable.next_after(now)
    assert following is not None and now < following.run_after <= now + timedelta(seconds=1)
    assert len(list(timetable.ticks_between(utc(2020, 1, 1), now))) == 1


@pytest.mark.parametrize("gap", [timedelta(seconds=-1), 30])
def test_a_gap_that_is_no_length_is_refused_where_it_is_written(gap: Any) -> None:
    with pytest.raises(DagDefinitionError, match="give a timedelta that is not negative"):
        ContinuousTimetable(gap)


def test_no_schedule_is_never_due() -> None:
    timetable = make_timetable(None)
    assert timetable.summary == "None"
    assert timetable.next_after(utc(2024, 1, 1)) is None
    assert list(timetable.ticks_between(utc(2020, 1, 1), utc(2024, 1, 1))) == []
    assert timetable.manual(utc(2024, 1, 1)).logical_date == utc(2024, 1, 1)
