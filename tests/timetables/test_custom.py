"""Timetables of the author's own: what they may answer, and the ticks that are stored of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from clockmill.errors import DagDefinitionError
from clockmill.timetables import (
    CustomTimetable,
    Schedule,
    StoredTimetable,
    Tick,
    TickList,
    from_dict,
    make_timetable,
    tick_list,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2024, 3, 10, 12, 30, tzinfo=UTC)


class Hourly(CustomTimetable):
    def next_after(self, moment: datetime) -> datetime:
        return moment.replace(minute=0, second=0, microsecond=0) + HOUR


class Answers(CustomTimetable):
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def next_after(self, moment: datetime) -> datetime | Tick | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


def stored(schedule: Schedule, position: datetime = NOW, *, enough: int = 10_000) -> TickList:
    asked = count(1)
    return tick_list(schedule, position, lambda: next(asked) >= enough)


def test_two_hundred_ticks_to_come_and_twenty_before_are_stored() -> None:
    kept = stored(Schedule(make_timetable(Hourly())))
    assert [tick.run_after for tick in kept.ticks] == [NOW.replace(minute=0) + HOUR * step for step in range(-19, 201)]
    assert not kept.is_complete
    assert kept.refill_at == NOW.replace(minute=0) + HOUR * 150
    assert TickList.from_json(kept.to_json()) == kept


def test_the_ends_of_time_are_no_error() -> None:
    first = stored(Schedule(make_timetable(Hourly())), datetime.min.replace(tzinfo=UTC))
    last = stored(Schedule(make_timetable(Hourly())), datetime.max.replace(tzinfo=UTC))
    assert (len(first.ticks), len(last.ticks), last.is_complete) == (200, 20, True)


def test_a_slow_timetable_gives_what_it_can() -> None:
    kept = stored(Schedule(make_timetable(Hourly())), enough=3)
    assert [tick.run_after.hour for tick in kept.ticks] == [12, 13, 14, 15]
    assert not kept.is_complete


def test_the_end_date_makes_the_list_complete() -> None:
    kept = stored(Schedule(make_timetable(Hourly()), NOW - DAY, NOW + 2 * HOUR))
    assert (kept.ticks[-1].run_after.hour, kept.is_complete, kept.refill_at) == (14, True, None)


def test_what_is_stored_answers_as_the_author_would() -> None:
    written = make_timetable(Hourly())
    kept = stored(Schedule(written))
    known = from_dict(written.to_dict())
    assert isinstance(known, StoredTimetable)
    known = known.with_ticks(kept.ticks)
    assert (known.summary, known.kind) == ("Hourly", "stored")
    assert known.next_after(NOW) == written.next_after(NOW)
    assert known.newest_until(NOW) == written.newest_until(NOW)
    assert list(known.ticks_between(NOW, NOW + DAY)) == list(written.ticks_between(NOW, NOW + DAY))
    assert known.next_after(kept.ticks[-1].run_after) is None


def test_a_run_by_hand_is_about_the_newest_interval_that_is_over() -> None:
    tick = Tick(NOW, NOW - DAY, NOW - DAY, NOW)
    known = StoredTimetable("Days", "Days", (tick,))
    manual = known.manual(NOW + HOUR)
    assert (manual.run_after, manual.logical_date, manual.start, manual.end) == (NOW + HOUR, NOW + HOUR, NOW - DAY, NOW)
    assert known.manual(NOW - HOUR).start == NOW - HOUR


def test_a_sparse_timetable_is_looked_back_for_up_to_ten_years() -> None:
    class Once(CustomTimetable):
        def next_after(self, moment: datetime) -> datetime | None:
            return moment0 if moment < moment0 else None

    moment0 = NOW - 9 * 365 * DAY
    newest = make_timetable(Once()).newest_until(NOW)
    assert newest is not None and newest.run_after == moment0
    assert make_timetable(Once()).newest_until(NOW + 3 * 365 * DAY) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            ValueError("no moon"),
            "The timetable Answers: next_after(2024-03-10T12:30:00+00:00) raised ValueError: no moon",
        ),
        (NOW.replace(tzinfo=None), "give a datetime with a time zone"),
        (Tick(NOW + HOUR, NOW.replace(tzinfo=None), NOW, NOW), "give a datetime with a time zone"),
        ("tomorrow", "The timetable Answers gave 'tomorrow'"),
        (NOW, "which is not later"),
        (NOW - HOUR, "which is not later"),
    ],
    ids=repr,
)
def test_a_wrong_answer_names_the_timetable(answer: object, words: str) -> None:
    with pytest.raises(DagDefinitionError) as caught:
        make_timetable(Answers(answer)).next_after(NOW)
    assert words in str(caught.value)


def test_an_answer_in_another_zone_is_the_same_instant() -> None:
    tick = make_timetable(Answers(datetime.fromisoformat("2024-03-11T01:00+09:00"))).next_after(NOW)
    assert tick is not None and tick.run_after == datetime(2024, 3, 10, 16, tzinfo=UTC)
    assert tick.to_dict()["run_after"].endswith("+00:00")
