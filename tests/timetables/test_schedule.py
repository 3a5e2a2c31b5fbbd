"""Start and end dates, and which tick comes first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from clockmill.timetables import (
    CronDataIntervalTimetable,
    OnceTimetable,
    Schedule,
    first_tick,
    make_timetable,
    tick_after_change,
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


DAILY = make_timetable("@daily")
DAYS = CronDataIntervalTimetable("@daily")
NOW = utc(2024, 3, 10, 12)


def dates(schedule: Schedule) -> list[int]:
    ticks = list(schedule.ticks_between(utc(2024, 1, 1), utc(2024, 2, 1)))
    walked, tick = [], schedule.next_after(utc(2024, 1, 1))
    while tick is not None and tick.run_after <= utc(2024, 2, 1):
        walked.append(tick)
        tick = schedule.next_after(tick.run_after)
    assert walked == ticks
    if ticks:
        assert schedule.newest_until(utc(2024, 2, 1)) == ticks[-1]
    return [tick.logical_date.day for tick in ticks]


def test_start_and_end_bound_the_logical_date_and_are_included() -> None:
    assert dates(Schedule(DAILY, utc(2024, 1, 5), utc(2024, 1, 8))) == [5, 6, 7, 8]
    assert dates(Schedule(DAYS, utc(2024, 1, 5), utc(2024, 1, 8))) == [5, 6, 7, 8]


def test_a_start_between_two_ticks_waits_for_the_next() -> None:
    assert dates(Schedule(DAILY, utc(2024, 1, 5, 12), utc(2024, 1, 8, 12))) == [6, 7, 8]
    assert dates(Schedule(DAYS, utc(2024, 1, 5, 12), utc(2024, 1, 8, 12))) == [6, 7, 8]


def test_nothing_is_due_after_the_end_or_before_the_start() -> None:
    over = Schedule(DAILY, utc(2024, 1, 1), utc(2024, 1, 3))
    assert over.next_after(utc(2024, 1, 3)) is None
    newest = over.newest_until(NOW)
    assert newest is not None and newest.logical_date == utc(2024, 1, 3)
    assert Schedule(DAILY, utc(2025, 1, 1)).newest_until(NOW) is None


def test_the_last_interval_before_the_end_is_due_after_it() -> None:
    newest = Schedule(DAYS, None, utc(2024, 1, 3)).newest_until(NOW)
    assert newest is not None and (newest.logical_date, newest.run_after) == (utc(2024, 1, 3), utc(2024, 1, 4))


def logical(tick: object) -> datetime | None:
    return getattr(tick, "logical_date", None)


def test_without_catch_up_a_new_dag_runs_the_newest_missed_tick() -> None:
    assert logical(first_tick(Schedule(DAILY, utc(2024, 1, 1)), catchup=False, seen_at=NOW)) == utc(2024, 3, 10)
    assert logical(first_tick(Schedule(DAYS, utc(2024, 1, 1)), catchup=False, seen_at=NOW)) == utc(2024, 3, 9)


def test_with_catch_up_a_new_dag_begins_at_its_start_date() -> None:
    assert logical(first_tick(Schedule(DAILY, utc(2024, 1, 1)), catchup=True, seen_at=NOW)) == utc(2024, 1, 1)
    assert logical(first_tick(Schedule(DAYS, utc(2024, 1, 1)), catchup=True, seen_at=NOW)) == utc(2024, 1, 1)


@pytest.mark.parametrize("catchup", [False, True])
def test_a_new_dag_without_start_date_has_missed_nothing(catchup: bool) -> None:
    assert logical(first_tick(Schedule(DAILY), catchup=catchup, seen_at=NOW)) == utc(2024, 3, 11)


@pytest.mark.parametrize("catchup", [False, True])
def test_a_start_date_to_come_is_waited_for(catchup: bool) -> None:
    schedule = Schedule(DAILY, utc(2024, 6, 1))
    assert logical(first_tick(schedule, catchup=catchup, seen_at=NOW)) == utc(2024, 6, 1)


def test_once_without_start_date_runs_when_first_seen() -> None:
    assert logical(first_tick(Schedule(OnceTimetable()), catchup=False, seen_at=NOW)) == NOW


def test_no_schedule_has_no_first_tick() -> None:
    assert first_tick(Schedule(make_timetable(None), utc(2024, 1, 1)), catchup=True, seen_at=NOW) is None


def test_a_changed_schedule_never_runs_old_ticks_again() -> None:
    schedule = Schedule(make_timetable("0 6 * * *"), utc(2024, 1, 1))
    tick = tick_after_change(schedule, catchup=False, changed_at=NOW, newest_run=utc(2024, 3, 10))
    assert logical(tick) == utc(2024, 3, 11, 6)


def test_a_changed_schedule_with_catch_up_goes_on_after_the_newest_run() -> None:
    schedule = Schedule(DAYS, utc(2024, 1, 1))
    tick = tick_after_change(schedule, catchup=True, changed_at=NOW, newest_run=utc(2024, 3, 1))
    assert logical(tick) == utc(2024, 3, 2)


def test_a_changed_schedule_of_a_dag_that_never_ran_counts_as_new() -> None:
    tick = tick_after_change(Schedule(DAILY, utc(2024, 1, 1)), catchup=False, changed_at=NOW, newest_run=None)
    assert logical(tick) == utc(2024, 3, 10)


def test_a_start_date_in_the_year_one_is_no_error() -> None:
    schedule = Schedule(make_timetable("@hourly"), datetime.min.replace(tzinfo=UTC))
    tick = first_tick(schedule, catchup=True, seen_at=NOW)
    assert tick is not None and tick.run_after - datetime.min.replace(tzinfo=UTC) < timedelta(days=400)
