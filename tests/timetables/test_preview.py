"""What comes next, and what the next change of the clock does to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from dateutil.relativedelta import relativedelta

from clockmill.timetables import (
    CronTriggerTimetable,
    EventsTimetable,
    MultipleCronTriggerTimetable,
    Schedule,
    StoredTimetable,
    make_timetable,
    next_change,
    preview,
)

WINTER, SUMMER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
ZONE = "Europe/Zurich"
FORWARD = "On 2026-03-29 at 02:00, the clock of Europe/Zurich goes forward by 1 hour to 03:00: "
BACK = "On 2026-10-25 at 03:00, the clock of Europe/Zurich goes back by 1 hour to 02:00: "


def note(schedule: object, moment: datetime, zone: str = ZONE) -> str:
    start = datetime(2025, 1, 1, 1, 30, tzinfo=UTC)
    return preview(Schedule(make_timetable(schedule, zone, start)), zone, moment).note


BEAT = "because the schedule goes by elapsed time."
CASES = [
    ("30 2 * * *", "the tick of 02:30 is due at 03:00.", "the tick of 02:30 is due once, at the first occurrence."),
    (
        "0,30 2 * * *",
        "the ticks of 02:00 and 02:30 are due at 03:00, in one run.",
        "the ticks of 02:00 and 02:30 are due once, at the first occurrence.",
    ),
    ("0 * * * *", f"the tick of 02:00 is left out, {BEAT}", f"the tick of 02:00 is due twice, {BEAT}"),
    (
        "*/5 * * * *",
        f"the 12 ticks from 02:00 to 02:55 are left out, {BEAT}",
        f"the 12 ticks from 02:00 to 02:55 are due twice, {BEAT}",
    ),
    ("0 3 * * *", *["no tick lies in between, and all keep their local times."] * 2),
    (
        MultipleCronTriggerTimetable("0 * * * *", "30 2 * * *", timezone=ZONE),
        f"the tick of 02:00 is left out, {BEAT[:-1]}; the tick of 02:30 is due at 03:00.",
        f"the tick of 02:30 is due once, at the first occurrence; the tick of 02:00 is due twice, {BEAT}",
    ),
    (
        CronTriggerTimetable("30 2 * * *", ZONE, skip="* * * * 0"),
        *["no tick lies in between, and all keep their local times."] * 2,
    ),
    (
        timedelta(hours=5),
        "the ticks go by elapsed time, so from then on they come 1 hour later by the clock.",
        "the ticks go by elapsed time, so from then on they come 1 hour earlier by the clock.",
    ),
    (
        relativedelta(days=1),
        "the tick of 02:30 is due at 03:00.",
        "the tick of 02:30 is due once, at the first occurrence.",
    ),
    (EventsTimetable([SUMMER]), *["its ticks are instants, which stay."] * 2),
    (StoredTimetable("Moon", "Moon"), *["what the timetable makes of it shows in the ticks."] * 2),
    (None, *["without a schedule, nothing is due."] * 2),
]


@pytest.mark.parametrize(("schedule", "forward", "back"), CASES, ids=[str(case[0]) for case in CASES])
def test_the_next_change_of_the_clock_is_told_in_one_sentence(schedule: object, forward: str, back: str) -> None:
    assert note(schedule, WINTER) == FORWARD + forward
    assert note(schedule, SUMMER) == BACK + back


def test_a_change_of_less_than_an_hour_and_a_zone_without_any() -> None:
    assert note("15 2 * * *", SUMMER, "Australia/Lord_Howe") == (
        "On 2026-10-04 at 02:00, the clock of Australia/Lord_Howe goes forward by 30 minutes to 02:30: "
        "the tick of 02:15 is due at 02:30."
    )
    assert note("@daily", WINTER, "Asia/Tokyo") == "The clock of Asia/Tokyo does not change within a year."


def test_a_dag_that_has_ended_by_then_is_not_told_of_ticks() -> None:
    schedule = Schedule(make_timetable("30 2 * * *", ZONE), WINTER, WINTER + timedelta(days=9))
    assert preview(schedule, ZONE, WINTER).note == FORWARD + "no tick is due by then."


def test_a_change_is_found_to_the_second_and_one_that_is_over_is_not() -> None:
    at = datetime(2026, 3, 29, 1, tzinfo=UTC)
    found = next_change(ZONE, at - timedelta(microseconds=1), at)
    assert found is not None
    assert (found.at, f"{found.before:%H:%M:%S}", f"{found.after:%H:%M:%S}") == (at, "02:00:00", "03:00:00")
    assert next_change(ZONE, WINTER, at - timedelta(seconds=1)) is None
    assert next_change(ZONE, at, at + timedelta(days=200)) is None


def test_ticks_are_given_around_the_moment_soonest_and_newest_first() -> None:
    found = preview(Schedule(make_timetable("@daily")), "UTC", WINTER, number=3, previous=2)
    assert [tick.run_after.day for tick in found.upcoming] == [2, 3, 4]
    assert [tick.run_after.day for tick in found.previous] == [1, 31]
    always = preview(Schedule(make_timetable("@continuous")), "UTC", WINTER, number=3, previous=2)
    assert (len(always.upcoming), len(always.previous)) == (1, 0)


def test_a_change_before_the_last_tick_shown_is_told_however_far_it_is() -> None:
    ticks = [datetime(year, 6, 1, tzinfo=UTC) for year in range(2030, 2033)]
    schedule = Schedule(make_timetable(EventsTimetable(ticks), "Africa/Juba"))
    found = preview(schedule, "Africa/Juba", datetime(2019, 1, 1, tzinfo=UTC), number=3)
    assert found.change is not None and found.change.at == datetime(2021, 1, 31, 21, tzinfo=UTC)


def test_the_zone_told_of_is_that_of_the_timetable_else_of_the_dag() -> None:
    def zone(schedule: Schedule) -> str:
        return preview(schedule, ZONE, WINTER).zone

    assert zone(Schedule(CronTriggerTimetable("0 3 * * *", "Asia/Tokyo"))) == "Asia/Tokyo"
    events = EventsTimetable([SUMMER], timezone=ZONE)
    assert zone(Schedule(EventsTimetable.from_dict(events.to_dict()))) == ZONE
