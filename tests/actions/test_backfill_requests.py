"""What a backfill may ask for, and what it would do: the same for a dry run and in earnest."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from clockmill import DAG, Param
from clockmill.actions.backfill import MAX_DATES, BackfillRequest, preview_backfill, request_backfill
from clockmill.actions.backfill_dates import DateAction, instants, ticks_of
from clockmill.errors import Conflict, UsageError
from clockmill.operators.bash import BashOperator
from clockmill.state.backfill import ReprocessBehavior
from clockmill.storage import tables
from clockmill.timetables import CronDataIntervalTimetable, Schedule, make_timetable

DAYS = {"first": date(2025, 12, 1), "last": date(2025, 12, 4)}


def dag(dag_id: str = "d", **arguments: object) -> DAG:
    with DAG(dag_id, **{"schedule": "@daily", **arguments}) as made:
        BashOperator(task_id="load", bash_command="true")
    return made


def request(**options: Any) -> BackfillRequest:
    return BackfillRequest(**{"dag_id": "d", **DAYS, **options})


def ask(mill, **options: Any) -> Any:
    return request_backfill(mill.db, mill.clock, request(**options), actor="test")


NO_GOOD = [
    ({"dag_id": "dd"}, "There is no DAG 'dd'. Did you mean 'd'?"),
    ({"last": date(2025, 11, 30)}, "ends before it begins"),
    ({"first": datetime(2025, 12, 1, 1, tzinfo=UTC), "last": date(2025, 12, 1)}, "has no date between"),
    ({"tasks": "laod"}, "Did you mean 'load'?"),
    ({"tasks": "["}, "is no regular expression"),
    ({"conf": {"n": "many"}}, "n: 'many' is not of type 'integer'"),
    ({"conf": {"a": float("nan")}}, "nan"),
    ({"canary": 0}, "between 1 and 4"),
    ({"canary": 5}, "between 1 and 4"),
    ({"stop_at": "0"}, "must be more than 0"),
    ({"stop_at": "some"}, "neither a number"),
    ({"max_active_runs": 0}, "between 1 and"),
    ({"tasks": "l" * 501}, "more than 500 characters"),
    ({"tasks": "load|\0"}, "cannot be shown"),
    ({"first": date(1, 1, 1)}, "lies outside the years"),
    ({"last": date(9999, 12, 31)}, "lies outside the years"),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("options", "problem"), NO_GOOD)
def test_what_is_no_good_is_refused_in_one_sentence(mill, options: dict[str, Any], problem: str) -> None:
    mill.add(dag(params={"n": Param(1, type="integer")}))
    with pytest.raises(UsageError) as refused:
        ask(mill, **options)
    assert problem in str(refused.value)


def past() -> DAG:
    return dag(default_args={"depends_on_past": True})


UNFIT = [
    (dag(schedule=None), {}, "it has no schedule"),
    (dag(schedule="@continuous", max_active_runs=1, start_date=datetime(2025, 1, 1, tzinfo=UTC)), {}, "@continuous"),
    (past(), {"run_backwards": True}, "depends on its past"),
    (dag(start_date=datetime(2025, 12, 10, tzinfo=UTC)), {}, "it starts at 2025-12-10"),
    (dag(schedule="* * * * *"), {"first": date(2025, 1, 1)}, f"more than {MAX_DATES:,} dates"),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("unfit", "options", "problem"), UNFIT, ids=[problem for _, _, problem in UNFIT])
def test_a_dag_that_cannot_be_backfilled_says_why(mill, unfit: DAG, options: dict[str, Any], problem: str) -> None:
    mill.add(unfit)
    with pytest.raises(UsageError) as refused:
        ask(mill, **options)
    assert problem in str(refused.value)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("types", "is_allowed"), [(["scheduled", "backfill"], True), (["scheduled"], False)])
def test_a_dag_may_forbid_backfills(mill, types: list[str], is_allowed: bool) -> None:
    mill.add(dag())
    document = mill.db.read(lambda c: c.execute(select(tables.dag_version.c.document)).scalar_one())
    changed = json.dumps({**json.loads(document), "allowed_run_types": types})
    mill.db.write(lambda c: c.execute(update(tables.dag_version).values(document=changed)))
    if is_allowed:
        assert ask(mill).id == 1
        return
    with pytest.raises(UsageError, match="its allowed_run_types are scheduled"):
        ask(mill)


def test_a_dag_that_depends_on_its_past_can_be_backfilled_forwards(mill) -> None:
    mill.add(past())
    assert ask(mill).id == 1


@pytest.mark.parametrize(
    ("days", "overlaps"), [((4, 8), True), ((5, 8), False), ((2, 3), True), ((1, 1), True)], ids=str
)
def test_dates_of_a_backfill_that_is_not_over_are_refused(mill, days: tuple[int, int], overlaps: bool) -> None:
    mill.add(dag())
    mill.add(dag("other"))
    ask(mill)
    first, last = (date(2025, 12, day) for day in days)
    assert ask(mill, dag_id="other").id == 2
    if not overlaps:
        assert ask(mill, first=first, last=last).id == 3
        return
    with pytest.raises(Conflict, match="The backfill 1 of DAG 'd' is running and has some of these dates"):
        ask(mill, first=first, last=last)


def test_the_preview_says_of_each_date_what_becomes_of_it(mill) -> None:
    mill.add(dag(schedule=CronDataIntervalTimetable("@daily"), max_active_runs=16))
    for day, outcome in ((27, "success"), (28, "failed"), (29, "running")):
        mill.trigger("d", f"r{day}", logical_date=datetime(2025, 12, day, tzinfo=UTC))
        if outcome != "running":
            mill.finish("load", outcome, run_id=f"r{day}")
    days = {"first": date(2025, 12, 27), "last": date(2026, 1, 1)}
    asked = request(**days, reprocess_behavior=ReprocessBehavior.FAILED)
    shown = mill.db.read(lambda c: preview_backfill(c, asked, mill.clock.now()))
    assert [(each.run_id, each.action, each.reason) for each in shown.dates] == [
        ("r27", "left", "its run ended: success"),
        ("r28", "re-run", ""),
        ("r29", "left", "its run is running"),
        ("backfill__2025-12-30T00:00:00+00:00", "new", ""),
        ("backfill__2025-12-31T00:00:00+00:00", "new", ""),
        ("backfill__2026-01-01T00:00:00+00:00", "left", "not due yet"),
    ]
    assert shown.counts == {DateAction.NEW: 2, DateAction.RERUN: 1, DateAction.LEFT: 3}
    assert mill.runs("d")[3:] == []


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("UTC", date(2025, 3, 30), "2025-03-30T00:00", 24),
        ("Europe/Berlin", date(2025, 3, 30), "2025-03-29T23:00", 23),
        ("Europe/Berlin", date(2025, 10, 26), "2025-10-25T22:00", 25),
        ("Asia/Beirut", date(2025, 3, 30), "2025-03-29T22:00", 23),  # its midnight does not exist
        ("America/Havana", date(2025, 11, 2), "2025-11-02T04:00", 25),  # its midnight comes twice
    ],
)
def test_a_day_is_as_long_as_the_clocks_of_its_zone_make_it(zone: str, day: date, begins: str, hours: int) -> None:
    first, last = instants(day, day, zone)
    assert first == datetime.fromisoformat(begins + "+00:00")
    assert last - first + timedelta(microseconds=1) == timedelta(hours=hours)
    assert instants(day + DAY, day + DAY, zone)[0] == last + timedelta(microseconds=1)


def test_an_instant_is_meant_exactly_and_a_local_time_in_the_zone() -> None:
    aware, local = datetime(2025, 7, 1, 12, tzinfo=UTC), datetime.fromisoformat("2025-07-01T14:30")
    assert instants(aware, local, "Europe/Berlin") == (aware, datetime(2025, 7, 1, 12, 30, tzinfo=UTC))


TIMETABLES = [
    make_timetable("@daily", "Europe/Berlin"),
    make_timetable("30 2 * * *", "America/New_York"),
    make_timetable("0 0 1,15 * *", "Asia/Beirut"),
    make_timetable(timedelta(hours=7), "UTC", datetime(2025, 1, 1, 1, tzinfo=UTC)),
    CronDataIntervalTimetable("0 */5 * * *", "Australia/Lord_Howe"),
]


@given(
    timetable=st.sampled_from(TIMETABLES),
    first=st.datetimes(datetime.fromisoformat("2024-12-01"), datetime.fromisoformat("2025-12-01")),
    hours=st.integers(0, 2000),
    size=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_dates_taken_in_batches_are_all_dates_and_each_once(timetable, first, hours: int, size: int) -> None:
    begin, end = first.replace(tzinfo=UTC), first.replace(tzinfo=UTC) + timedelta(hours=hours)
    schedule, reached, batches = Schedule(timetable), None, []
    while batch := list(islice(ticks_of(schedule, begin, end, after=reached), size)):
        batches += batch
        reached = batch[-1].logical_date
    around = schedule.ticks_between(begin - timedelta(days=40), end + timedelta(days=40))
    assert batches == [tick for tick in around if begin <= tick.logical_date <= end]
