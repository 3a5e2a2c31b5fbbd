"""Several crons in one, days that are left out, delays, and events."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.errors import DagDefinitionError
from clockmill.timetables import (
    CronDataIntervalTimetable,
    CronTriggerTimetable,
    EventsTimetable,
    MultipleCronTriggerTimetable,
    Schedule,
    Timetable,
    from_dict,
    make_timetable,
)

HOUR, DAY, MICROSECOND = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
CHRISTMAS = (date(2024, 12, 24), date(2024, 12, 26))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def days(timetable: Timetable, first: datetime, last: datetime) -> list[int]:
    ticks = list(timetable.ticks_between(first, last))
    for earlier, later in pairwise(ticks):
        assert timetable.newest_until(later.run_after - MICROSECOND) == earlier
    return [tick.run_after.day for tick in ticks]


def test_several_crons_tick_when_any_does_and_once_where_they_agree() -> None:
    timetable = MultipleCronTriggerTimetable("0 6 * * *", "0 6,18 * * 6,0", timezone="UTC")
    ticks = timetable.ticks_between(utc(2024, 3, 8), utc(2024, 3, 11))
    assert [(t.run_after.day, t.run_after.hour) for t in ticks] == [(8, 6), (9, 6), (9, 18), (10, 6), (10, 18)]
    assert timetable.summary == "0 6 * * *, 0 6,18 * * 6,0"


@pytest.mark.parametrize(
    ("skip", "left"),
    [
        (date(2024, 12, 25), [23, 24, 26, 27, 28, 29, 30]),
        ("2024-12-25", [23, 24, 26, 27, 28, 29, 30]),
        (CHRISTMAS, [23, 27, 28, 29, 30]),
        ([date(2024, 12, 24), date(2024, 12, 26)], [23, 25, 27, 28, 29, 30]),
        ("* * * * 6,0", [23, 24, 25, 26, 27, 30]),
        ([CHRISTMAS, ("2024-12-26", "2024-12-28"), "0 0 * * 1"], [29]),
    ],
    ids=str,
)
def test_days_that_are_left_out_have_no_tick(skip: object, left: list[int]) -> None:
    timetable = CronTriggerTimetable("0 23 * * *", "America/New_York", skip=skip)
    ticks = timetable.ticks_between(utc(2024, 12, 23, 12), utc(2024, 12, 31, 12))
    assert [t.run_after.astimezone(ZoneInfo("America/New_York")).day for t in ticks] == left
    assert from_dict(json.loads(json.dumps(timetable.to_dict()))) == timetable


def test_the_data_of_a_day_that_is_left_out_belongs_to_the_next_run() -> None:
    timetable = CronDataIntervalTimetable("0 0 * * *", skip=CHRISTMAS)
    ticks = list(timetable.ticks_between(utc(2024, 12, 22), utc(2024, 12, 28)))
    assert [(t.start.day, t.end.day) for t in ticks] == [(22, 23), (23, 27), (27, 28)]


@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("America/St_Johns", utc(2010, 11, 7, 2, 31)),  # a minute after midnight the clock goes back to the day before
        ("Africa/Cairo", utc(2024, 4, 25, 22)),  # there is no midnight
        ("Africa/Cairo", utc(2024, 10, 31, 21)),
    ],
)
@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_days_are_those_of_the_clock_also_where_it_changes_at_midnight(
    zone: str, around: datetime, offset: int
) -> None:
    day = (around + offset * DAY).astimezone(ZoneInfo(zone)).date()
    first, last = around - 3 * DAY, around + 3 * DAY
    every = CronTriggerTimetable("*/10 * * * *", zone)
    left = CronTriggerTimetable("*/10 * * * *", zone, skip=day)
    expected = [t for t in every.ticks_between(first, last) if t.run_after.astimezone(ZoneInfo(zone)).date() != day]
    assert list(left.ticks_between(first, last)) == expected
    for earlier, later in pairwise(expected):
        assert left.newest_until(later.run_after - MICROSECOND) == earlier


@pytest.mark.parametrize(
    ("skip", "words"),
    [
        ("* * * * *", "leaves out every day"),
        (["* * * * 1-5", "* * * * 6,0"], "leaves out every day"),
        ("every day", "'every day' is not valid"),
        (utc(2024, 1, 1), "is no day"),
        ((date(2024, 2, 1), date(2024, 1, 1)), "is no day"),
        (7, "is no day"),
        ([7], "is no day"),
    ],
    ids=str,
)
def test_a_skip_that_cannot_be_is_refused(skip: object, words: str) -> None:
    with pytest.raises(DagDefinitionError) as caught:
        CronTriggerTimetable("0 6 * * *", skip=skip)
    assert words in str(caught.value)


def test_what_is_left_out_for_more_than_fifty_years_does_not_come() -> None:
    timetable = CronTriggerTimetable("* * * * *", skip=(date(2020, 1, 1), date(2200, 1, 1)))
    assert timetable.next_after(utc(2021, 1, 1)) is None
    assert timetable.newest_until(utc(2021, 1, 1)) == timetable.newest_until(utc(2019, 12, 31, 23, 59))


# --- jitter --------------------------------------------------------------------------------------------------------


@given(cron=st.sampled_from(["* * * * *", "0 6 * * *", "*/20 2-4 * * *"]), minutes=st.integers(1, 3000), dag=st.text())
@settings(max_examples=50, derandomize=True, deadline=None)
def test_a_delay_keeps_the_order_the_dates_and_the_bound(cron: str, minutes: int, dag: str) -> None:
    most = timedelta(minutes=minutes)
    plain = CronTriggerTimetable(cron, "Europe/Zurich")
    moved = make_timetable(CronTriggerTimetable(cron, "Europe/Zurich", jitter=most), "UTC", None, dag)
    first = utc(2024, 3, 30, 22)
    moment, newest = first, None
    found = []
    for expected in list(plain.ticks_between(first, first + 2 * DAY))[:30]:
        tick = moved.next_after(moment if newest else expected.run_after - MICROSECOND)
        following = plain.next_after(expected.run_after)
        assert tick is not None and following is not None
        assert tick.logical_date == tick.start == tick.end == expected.run_after
        assert timedelta(0) <= tick.run_after - tick.logical_date < most
        assert tick.run_after < following.run_after
        assert moved.newest_until(tick.run_after) == tick
        assert newest is None or moved.newest_until(tick.run_after - MICROSECOND) == newest
        moment, newest = tick.run_after, tick
        found.append(tick)
    assert list(moved.ticks_between(found[0].run_after, moment)) == found[1:]


def test_the_delay_is_the_same_each_time_and_another_for_another_dag_or_tick() -> None:
    written = CronTriggerTimetable("0 6 * * *", jitter=HOUR)

    def delay(dag_id: str, day: int) -> timedelta:
        tick = make_timetable(written, "UTC", None, dag_id).next_after(utc(2024, 1, day))
        assert tick is not None
        return tick.run_after - tick.logical_date

    delays = {(dag_id, day): delay(dag_id, day) for dag_id in ("a", "b", "c") for day in range(1, 9)}
    assert len(set(delays.values())) == len(delays)
    assert delays["a", 1] == timedelta(seconds=982)
    stored = from_dict(json.loads(json.dumps(make_timetable(written, "UTC", None, "a").to_dict())))
    assert stored.newest_until(utc(2024, 1, 2)).run_after == utc(2024, 1, 1, 6) + delays["a", 1]


def test_start_and_end_bound_the_logical_dates_of_runs_that_are_moved() -> None:
    moved = make_timetable(CronDataIntervalTimetable("0 0 * * *", jitter=DAY), "UTC", None, "a")
    schedule = Schedule(moved, utc(2024, 1, 2), utc(2024, 1, 4))
    ticks = list(schedule.ticks_between(utc(2023, 1, 1), utc(2025, 1, 1)))
    assert [tick.logical_date.day for tick in ticks] == [2, 3, 4]
    assert schedule.newest_until(utc(2025, 1, 1)) == ticks[-1]


def test_a_jitter_that_is_no_length_is_refused() -> None:
    with pytest.raises(DagDefinitionError, match="no timedelta, or negative"):
        CronTriggerTimetable("0 6 * * *", jitter=300)  # type: ignore[arg-type]


# --- events --------------------------------------------------------------------------------------------------------


def test_events_tick_in_order_and_naive_ones_are_in_the_zone_of_the_dag() -> None:
    naive = datetime.fromisoformat
    written = EventsTimetable([naive("2024-07-01T06:00"), utc(2024, 1, 1), naive("2024-07-01T06:00")])
    timetable = make_timetable(written, "Europe/Zurich")
    ticks = list(timetable.ticks_between(utc(2023, 1, 1), utc(2025, 1, 1)))
    assert [tick.logical_date for tick in ticks] == [utc(2024, 1, 1), utc(2024, 7, 1, 4)]
    assert timetable.next_after(utc(2024, 7, 1, 4)) is None
    assert timetable.newest_until(utc(2023, 12, 31)) is None
    assert (timetable.summary, EventsTimetable([utc(2024, 1, 1)], description="Games").summary) == ("2 events", "Games")
    assert from_dict(json.loads(json.dumps(timetable.to_dict()))) == timetable


@pytest.mark.parametrize(
    ("asked", "event"),
    [(utc(2024, 6, 1), utc(2024, 5, 1)), (utc(2024, 1, 1), utc(2024, 2, 1)), (utc(2024, 5, 1), utc(2024, 5, 1))],
)
def test_a_run_by_hand_restricted_to_events_is_about_the_newest_of_them(asked: datetime, event: datetime) -> None:
    tick = EventsTimetable([utc(2024, 5, 1), utc(2024, 2, 1)], restrict_to_events=True).manual(asked)
    assert (tick.run_after, tick.logical_date, tick.start, tick.end) == (asked, asked, event, event)
    assert EventsTimetable([utc(2024, 5, 1)]).manual(asked).start == asked


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"event_dates": []}, "an event or more"),
        ({"event_dates": ["2024"]}, "'2024' of an EventsTimetable is no datetime"),
        ({"event_dates": [utc(2024, 2, 1), utc(2024, 1, 1)], "presorted": True}, "not in order"),
    ],
)
def test_events_that_cannot_be_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(DagDefinitionError, match=words):
        EventsTimetable(**arguments)  # type: ignore[arg-type]
