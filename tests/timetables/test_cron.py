"""Cron expressions against independent answers: croniter on naive times, and a scan of every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.errors import DagDefinitionError
from clockmill.timetables import CronTriggerTimetable, make_timetable
from clockmill.timetables.cron import CronExpression

naive = datetime.fromisoformat

#: changes of the clock: an hour, half an hour, at midnight, and none at all
CHANGES = [
    ("Europe/Zurich", datetime(2024, 3, 31, 1, tzinfo=UTC)),
    ("Europe/Zurich", datetime(2024, 10, 27, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 3, 10, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 11, 3, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 4, 6, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 10, 5, 15, 30, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2024, 4, 25, 22, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2024, 10, 31, 21, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2024, 12, 31, 18, tzinfo=UTC)),
]

minutes = st.sampled_from(["*", "0", "30", "*/15", "7", "0,45", "10-20/5", "59"])
hours = st.sampled_from(["*", "0", "1", "2", "3", "2,14", "*/2", "0-6", "1-3", "23", "0,12", "1,2"])
days = st.sampled_from(
    [
        "* * *",
        "* * *",
        "1 * *",
        "27-31 * *",
        "10,31 3,10 *",
        "L * *",
        "31W * *",
        "* 3,4,10,11 *",
        "* */3 0",
        "* * sun",
        "* * 1-5",
        "* * 5#2",
        "* * L0",
        "* * 6,0",
        "3,7,31 * 0",
        "1-15 10 mon-wed",
    ]
)
crons = st.builds("{} {} {}".format, minutes, hours, days)


def scan(cron: str, zone_name: str, first: datetime, last: datetime) -> list[datetime]:
    """Every instant at which ``cron`` ticks in [first, last], found by looking at each minute."""
    zone = ZoneInfo(zone_name)
    matches = CronMatch(cron)
    ticks: set[datetime] = set()
    seen: set[datetime] = set()
    moment = first - timedelta(hours=3)
    before = moment.astimezone(zone).replace(tzinfo=None) - timedelta(minutes=1)
    while moment <= last:
        wall = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        jump = wall - before
        if jump == timedelta(minutes=1):
            if matches(wall) and (wall not in seen or matches.every_hour_around(wall, moment, zone)):
                ticks.add(moment)
        else:
            skipped = [before + timedelta(minutes=m) for m in range(1, int(jump / timedelta(minutes=1)))]
            appointments = [t for t in skipped if matches(t) and not matches.beats(t, timedelta(minutes=len(skipped)))]
            repeated = jump < timedelta(0)
            allowed = not repeated or matches.every_hour_around(wall, moment, zone)
            if (matches(wall) and allowed) or appointments:
                ticks.add(moment)
        seen.add(wall)
        before = wall
        moment += timedelta(minutes=1)
    return sorted(tick for tick in ticks if first <= tick <= last)


class CronMatch:
    """Whether a naive minute matches, asked of croniter one minute at a time."""

    def __init__(self, cron: str) -> None:
        self.iterator = croniter(cron, naive("2024-01-01"))
        self.hours = set(range(24)) if self.iterator.expanded[1] == ["*"] else set(self.iterator.expanded[1])
        self.minutes = set(range(60)) if self.iterator.expanded[0] == ["*"] else set(self.iterator.expanded[0])
        self.days: dict[object, bool] = {}
        self.cron = cron

    def __call__(self, wall: datetime) -> bool:
        if wall.hour not in self.hours or wall.minute not in self.minutes:
            return False
        if wall.date() not in self.days:
            midnight = wall.replace(hour=0, minute=0) - timedelta(seconds=1)
            found = croniter(self.cron, midnight, ret_type=datetime).get_next()
            self.days[wall.date()] = found.date() == wall.date()
        return self.days[wall.date()]

    def beats(self, wall: datetime, length: timedelta) -> bool:
        first, last = wall - length, wall + length
        whole = [first + timedelta(minutes=m) for m in range(int((last - first) / timedelta(minutes=1)) + 1)]
        return {moment.hour for moment in whole} <= self.hours

    def every_hour_around(self, wall: datetime, moment: datetime, zone: ZoneInfo) -> bool:
        first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        return self.beats(wall, moment - first)


@given(cron=crons, change=st.sampled_from(CHANGES))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_ticks_around_a_change_of_the_clock_equal_a_scan_of_every_minute(
    cron: str, change: tuple[str, datetime]
) -> None:
    zone, middle = change
    first, last = middle - timedelta(hours=4), middle + timedelta(hours=5)
    expected = scan(cron, zone, first, last)
    ticks = CronTriggerTimetable(cron, zone).ticks_between(first - timedelta(microseconds=1), last)
    assert [tick.run_after for tick in ticks] == expected


@given(cron=crons, change=st.sampled_from(CHANGES), minute=st.integers(-300, 300))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_looking_back_finds_what_looking_forward_finds(cron: str, change: tuple[str, datetime], minute: int) -> None:
    timetable = CronTriggerTimetable(cron, change[0])
    moment = change[1] + timedelta(minutes=minute)
    upcoming = timetable.next_after(moment)
    newest = timetable.newest_until(moment)
    assert upcoming is not None and newest is not None
    assert newest.run_after <= moment < upcoming.run_after
    assert timetable.next_after(newest.run_after) == upcoming
    assert timetable.newest_until(upcoming.run_after) == upcoming
    assert timetable.newest_until(upcoming.run_after - timedelta(microseconds=1)) == newest


@given(cron=crons, start=st.datetimes(naive("1999-01-01"), naive("2040-01-01")))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_naive_times_are_those_of_croniter(cron: str, start: datetime) -> None:
    expected = croniter(cron, start, ret_type=datetime).get_next()
    assert CronExpression(cron).after(start) == expected


@pytest.mark.parametrize("cron", ["* * * * * */20", "0 0 1 1 * 0 2030-2032", "15 10 * * 1-5 30", "0 0 29 2 *"])
def test_seconds_years_and_leap_days_are_read_as_croniter_reads_them(cron: str) -> None:
    expression = CronExpression(cron)
    iterator = croniter(cron, naive("2024-02-28T23:59:50"), ret_type=datetime)
    moment = naive("2024-02-28T23:59:50")
    for _ in range(3):
        found = expression.after(moment)
        assert found == iterator.get_next()
        assert expression.before(found + timedelta(microseconds=1)) == found
        moment = found


def runs(cron: str, zone: str, day: datetime, hours: int = 24) -> list[str]:
    """The ticks of a local day as its clocks show them."""
    first = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    ticks = CronTriggerTimetable(cron, zone).ticks_between(
        first - timedelta(microseconds=1), first + timedelta(hours=hours)
    )
    return [tick.run_after.astimezone(ZoneInfo(zone)).strftime("%H:%M%z") for tick in ticks]


SPRING = [
    ("Europe/Zurich", naive("2024-03-31"), "30 2 * * *", ["03:00+0200"]),
    ("America/New_York", naive("2024-03-10"), "30 2 * * *", ["03:00-0400"]),
    ("Australia/Lord_Howe", naive("2024-10-06"), "15 2 * * *", ["02:30+1100"]),
]
AUTUMN = [
    ("Europe/Zurich", naive("2024-10-27"), "30 2 * * *", ["02:30+0200"]),
    ("America/New_York", naive("2024-11-03"), "30 1 * * *", ["01:30-0400"]),
    ("Australia/Lord_Howe", naive("2024-04-07"), "45 1 * * *", ["01:45+1100"]),
]


@pytest.mark.parametrize(("zone", "day", "cron", "expected"), SPRING)
def test_a_skipped_appointment_runs_at_the_first_instant_after_the_gap(
    zone: str, day: datetime, cron: str, expected: list[str]
) -> None:
    assert runs(cron, zone, day, hours=20) == expected


@pytest.mark.parametrize(("zone", "day", "cron", "expected"), AUTUMN)
def test_a_repeated_appointment_runs_once_at_its_first_occurrence(
    zone: str, day: datetime, cron: str, expected: list[str]
) -> None:
    assert runs(cron, zone, day, hours=20) == expected


def test_an_hourly_schedule_goes_by_elapsed_time() -> None:
    spring = runs("30 * * * *", "Europe/Zurich", naive("2024-03-31"), hours=4)
    autumn = runs("30 * * * *", "Europe/Zurich", naive("2024-10-27"), hours=5)
    assert spring == ["00:30+0100", "01:30+0100", "03:30+0200", "04:30+0200"]
    assert autumn == ["00:30+0200", "01:30+0200", "02:30+0200", "02:30+0100", "03:30+0100"]


def test_two_appointments_of_a_day_are_no_beat() -> None:
    assert runs("30 2,14 * * *", "Europe/Zurich", naive("2024-03-31"), hours=20) == ["03:00+0200", "14:30+0200"]
    assert runs("30 2,14 * * *", "Europe/Zurich", naive("2024-10-27"), hours=20) == ["02:30+0200", "14:30+0100"]


def test_appointments_that_fall_into_one_gap_make_one_run() -> None:
    assert runs("*/15 2 * * *", "Europe/Zurich", naive("2024-03-31")) == ["03:00+0200"]


def test_a_day_that_a_country_skipped_makes_no_second_run_on_the_next() -> None:
    days = CronTriggerTimetable("0 0 * * *", "Pacific/Apia").ticks_between(
        datetime(2011, 12, 29, tzinfo=UTC), datetime(2012, 1, 1, 9, tzinfo=UTC)
    )
    local = [tick.run_after.astimezone(ZoneInfo("Pacific/Apia")).strftime("%d %H:%M") for tick in days]
    assert local == ["29 00:00", "31 00:00", "01 00:00"]


@pytest.mark.parametrize(
    ("preset", "cron"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@quarterly", "0 0 1 */3 *"),
        ("@yearly", "0 0 1 1 *"),
    ],
)
def test_a_preset_is_its_cron_expression(preset: str, cron: str) -> None:
    moment = datetime(2024, 5, 17, 8, 3, tzinfo=UTC)
    assert make_timetable(preset).next_after(moment) == make_timetable(cron).next_after(moment)
    assert make_timetable(preset).summary == preset


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("61 * * * *", "'61 * * * *' is not valid"),
        ("*/0 * * * *", "'*/0 * * * *' is not valid"),
        ("0-999999 * * * *", "is not valid"),
        ("0 0 30 2 *", "'0 0 30 2 *' never comes"),
        ("0 0 31 4,6 *", "never comes"),
        ("* " * 6000, "at most 200 are allowed"),
        ("H * * * *", "write the minute or hour that you want"),
        ("@dayly", "Did you mean '@daily'?"),
        ("0 0 15W * 1", "give one"),
        ("every morning", "minute hour day month weekday"),
        ("", "write schedule=None"),
    ],
)
def test_a_bad_cron_expression_is_refused_in_one_sentence(cron: str, words: str) -> None:
    with pytest.raises(DagDefinitionError) as caught:
        make_timetable(cron)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_years_that_are_over_leave_nothing_to_come() -> None:
    timetable = make_timetable("0 0 1 1 * 0 2020")
    assert timetable.next_after(datetime(2024, 1, 1, tzinfo=UTC)) is None
    newest = timetable.newest_until(datetime(2024, 1, 1, tzinfo=UTC))
    assert newest is not None and newest.run_after == datetime(2020, 1, 1, tzinfo=UTC)


def test_the_ends_of_time_are_no_error() -> None:
    timetable = make_timetable("@daily", "Asia/Tokyo")
    assert timetable.next_after(datetime.min.replace(tzinfo=UTC)) is not None
    assert timetable.newest_until(datetime.max.replace(tzinfo=UTC)) is not None
    assert timetable.next_after(datetime.max.replace(tzinfo=UTC)) is None


def test_an_unknown_time_zone_is_answered_with_the_nearest() -> None:
    with pytest.raises(DagDefinitionError, match="Did you mean 'Europe/Zurich'"):
        make_timetable("@daily", "Europe/Zürich")
