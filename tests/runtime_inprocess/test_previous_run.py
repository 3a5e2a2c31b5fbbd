"""The dates of the run before: looked up once, and only by what asks for them."""

from __future__ import annotations

from typing import Any

from clockmill.model.context import call_with_context
from tests.runtime_inprocess.test_pipeline import Channel, attempt

DATES = {"start_date": "2026-01-01T00:00:00+00:00", "end_date": "2026-01-01T01:00:00+00:00"}


class Asked(Channel):
    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def get_previous_run(self) -> dict[str, str | None]:
        self.times += 1
        return {**DATES, "data_interval_start": None, "data_interval_end": None}


def asks(function: Any) -> int:
    """How often the database was asked for the run before while a function of an author ran."""
    channel = Asked()
    report = attempt(lambda context: call_with_context(function, (), {}, context), channel=channel)
    assert report.outcome == "success", report.reason
    return channel.times


def test_a_function_that_names_a_date_of_the_run_before_is_given_it_with_one_question() -> None:
    def named(prev_start_date_success: Any, prev_end_date_success: Any) -> None:
        assert (prev_end_date_success - prev_start_date_success).total_seconds() == 3600

    def mentioned(**context: Any) -> None:
        assert context["prev_start_date_success"].year == 2026

    def inner(**context: Any) -> None:
        assert (lambda: context.get("prev_data_interval_end_success"))() is None

    assert [asks(function) for function in (named, mentioned, inner)] == [1, 1, 1]


def test_a_function_that_takes_the_whole_context_and_names_none_of_them_asks_nothing() -> None:
    def other(**context: Any) -> None:
        assert context["ds"] == "2026-01-31"

    assert asks(other) == 0
    assert asks(lambda ds: None) == 0
