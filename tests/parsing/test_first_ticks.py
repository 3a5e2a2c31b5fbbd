"""The tick that a DAG begins with, and what an edit of its schedule does to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from clockmill.clock import parse_iso

Source = Callable[..., str]


def next_date(station: Any) -> datetime | None:
    ((tick,),) = station.rows("SELECT next_tick FROM dag")
    tick = json.loads(tick) if isinstance(tick, str) else tick
    return None if tick is None else parse_iso(tick["logical_date"])


CASES = [
    ("schedule='@daily', start_date=datetime(2024, 1, 1), catchup=True", datetime(2024, 1, 1, tzinfo=UTC)),
    ("schedule='@daily', start_date=datetime(2024, 1, 1)", datetime(2024, 3, 10, tzinfo=UTC)),
    ("schedule='@daily'", datetime(2024, 3, 11, tzinfo=UTC)),
    ("schedule='@daily', start_date=datetime(2025, 1, 1)", datetime(2025, 1, 1, tzinfo=UTC)),
    ("schedule='@once', start_date=datetime(2024, 2, 1)", datetime(2024, 2, 1, tzinfo=UTC)),
    ("schedule=None", None),
    (
        "schedule='30 2 * * *', start_date=datetime(2024, 3, 1), timezone='Europe/Zurich'",
        datetime(2024, 3, 10, 1, 30, tzinfo=UTC),
    ),
    (
        "schedule='@daily', start_date=datetime(2024, 1, 1), end_date=datetime(2024, 2, 1)",
        datetime(2024, 2, 1, tzinfo=UTC),
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), CASES, ids=[case for case, _ in CASES])
def test_the_first_tick_of_a_new_dag(
    station: Any, dag_source: Source, arguments: str, expected: datetime | None
) -> None:
    station.write("sales.py", dag_source("sales", arguments))
    station.look()
    assert next_date(station) == expected


def test_once_without_start_date_is_due_when_it_is_first_seen(station: Any, dag_source: Source) -> None:
    station.write("sales.py", dag_source("sales", "schedule='@once'"))
    station.look()
    assert next_date(station) == station.clock.now()


def test_the_next_tick_is_stored_with_its_instant(any_station: Any, dag_source: Source) -> None:
    any_station.write("sales.py", dag_source("sales", "schedule='0 6 * * *'"))
    any_station.look()
    assert next_date(any_station) == datetime(2024, 3, 11, 6, tzinfo=UTC)
    assert any_station.rows("SELECT next_run_after FROM dag") == [(1710136800 * 1_000_000,)]


def test_an_edit_that_leaves_the_schedule_alone_leaves_the_next_tick_alone(station: Any, dag_source: Source) -> None:
    station.write("sales.py", dag_source("sales", "schedule='@daily', start_date=datetime(2024, 1, 1), catchup=True"))
    station.look()
    station.db.write(
        lambda c: c.exec_driver_sql('UPDATE dag SET next_tick = \'{"logical_date": "2024-02-02"}\'') and None
    )
    arguments = "schedule='@daily', start_date=datetime(2024, 1, 1), catchup=True, description='an edit'"
    station.write("sales.py", dag_source("sales", arguments))
    station.look()
    assert next_date(station) == datetime(2024, 2, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("catchup", "expected"),
    [("False", datetime(2024, 3, 11, 6, tzinfo=UTC)), ("True", datetime(2024, 3, 5, 6, tzinfo=UTC))],
)
def test_a_changed_schedule_never_runs_old_ticks_again(
    any_station: Any, dag_source: Source, make_rows: Any, catchup: str, expected: datetime
) -> None:
    start = f"start_date=datetime(2024, 1, 1), catchup={catchup}"
    any_station.write("sales.py", dag_source("sales", f"schedule='@daily', {start}"))
    any_station.look()
    ((version,),) = any_station.rows("SELECT version_id FROM dag")
    done = {"logical_date": datetime(2024, 3, 5, tzinfo=UTC), "run_type": "scheduled"}
    make_rows(any_station.db).run(version, "sales", "r", **done)
    any_station.write("sales.py", dag_source("sales", f"schedule='0 6 * * *', {start}"))
    any_station.look()
    assert next_date(any_station) == expected
