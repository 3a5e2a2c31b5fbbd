"""Branches by date and weekday, and work for the newest run alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from clockmill import DAG, BaseOperator
from clockmill.errors import DagDefinitionError
from clockmill.operators.datetime import BranchDateTimeOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.operators.latest_only import LatestOnlyOperator
from clockmill.operators.weekday import BranchDayOfWeekOperator
from tests.waiting import NOON, Try

MOMENT = timedelta(microseconds=1)
DAY = timedelta(days=1)


def branch(
    kind: Callable[..., BaseOperator], now: datetime, *, timezone: str = "UTC", **arguments: Any
) -> list[str] | None:
    """The way that is followed at that time."""
    with DAG("d", schedule=None, timezone=timezone):
        choice = kind(task_id="x", follow_task_ids_if_true="yes", follow_task_ids_if_false=["no"], **arguments)
        choice >> [EmptyOperator(task_id="yes"), EmptyOperator(task_id="no")]
    waiting = Try(choice)
    waiting.clock.set(now)
    return waiting.attempt().branch


def between(now: datetime, lower: Any, upper: Any, **arguments: Any) -> bool:
    return branch(BranchDateTimeOperator, now, target_lower=lower, target_upper=upper, **arguments) == ["yes"]


def test_both_ends_of_a_span_belong_to_it() -> None:
    lower, upper = NOON, NOON + DAY
    found = [between(now, lower, upper) for now in (lower - MOMENT, lower, upper, upper + MOMENT)]
    assert found == [False, True, True, False]


def test_one_end_may_be_open() -> None:
    assert [between(now, NOON, None) for now in (NOON - MOMENT, NOON)] == [False, True]
    assert [between(now, None, NOON) for now in (NOON, NOON + MOMENT)] == [True, False]


@pytest.mark.parametrize(
    ("hour", "inside"), [(21, False), (22, True), (23, True), (0, True), (5, True), (6, True), (7, False), (12, False)]
)
def test_a_span_of_times_of_day_may_hold_midnight(hour: int, inside: bool) -> None:
    assert between(NOON.replace(hour=hour), time(22), time(6)) is inside


def test_times_are_those_of_the_zone_of_the_dag_unless_they_have_one() -> None:
    assert between(NOON, time(13), time(13), timezone="Europe/Berlin")
    assert between(NOON, time(12, tzinfo=UTC), time(12, tzinfo=UTC), timezone="Europe/Berlin")
    assert between(NOON, datetime(2026, 1, 31, 13), datetime(2026, 1, 31, 13), timezone="Europe/Berlin")  # noqa: DTZ001


def test_the_logical_date_is_looked_at_where_it_is_asked_for() -> None:
    assert between(NOON + DAY, NOON, NOON, use_task_logical_date=True)
    assert not between(NOON, NOON + DAY, None, use_task_logical_date=True)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [((None, None), "give target_lower, target_upper, or both"), (("12:00", None), "must be a datetime or a time")],
)
def test_bounds_that_are_none_are_refused(bounds: tuple[Any, Any], message: str) -> None:
    with pytest.raises(DagDefinitionError, match=message):
        between(NOON, *bounds)


@pytest.mark.parametrize(
    ("now", "zone", "way"),
    [
        (datetime(2026, 2, 1, tzinfo=UTC) - MOMENT, "UTC", "yes"),
        (datetime(2026, 2, 1, tzinfo=UTC), "UTC", "no"),
        (datetime(2026, 2, 1, tzinfo=UTC), "America/New_York", "yes"),
    ],
)
def test_days_of_the_week_are_those_of_the_zone_of_the_dag(now: datetime, zone: str, way: str) -> None:
    assert branch(BranchDayOfWeekOperator, now, timezone=zone, week_day={"Saturday", "Friday"}) == [way]


def latest_only(now: datetime, *, schedule: Any = "@daily", run_type: str = "scheduled", **dates: Any) -> str | None:
    with DAG("d", schedule=schedule, **dates):
        gate = LatestOnlyOperator(task_id="x")
        gate >> EmptyOperator(task_id="below")
    waiting = Try(gate, run={"run_type": run_type, "run_after": "2026-01-31T00:00:00+00:00"})
    waiting.clock.set(now)
    return waiting.attempt().skips


NEXT = datetime(2026, 2, 1, tzinfo=UTC)


def test_a_run_is_the_newest_until_the_next_tick() -> None:
    assert [latest_only(now) for now in (NOON, NEXT - MOMENT, NEXT, NEXT + DAY)] == [None, None, "direct", "direct"]


def test_a_run_of_a_backfill_is_judged_as_one_of_the_schedule() -> None:
    assert latest_only(NEXT, run_type="backfill") == "direct"


@pytest.mark.parametrize("run_type", ["manual", "operator_triggered", "asset_triggered"])
def test_a_run_that_no_schedule_made_counts_as_the_newest(run_type: str) -> None:
    assert latest_only(NEXT, run_type=run_type) is None


def test_the_last_run_of_a_schedule_stays_the_newest() -> None:
    assert latest_only(NEXT + DAY, schedule="@once", start_date=datetime(2026, 1, 31, tzinfo=UTC)) is None
