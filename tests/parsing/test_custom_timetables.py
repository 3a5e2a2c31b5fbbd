"""Timetables of the author's own: executed while their file is parsed, stored for everybody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clockmill.clock import parse_iso

Source = Callable[..., str]

HOURLY = """
from datetime import timedelta
from clockmill.timetables import CustomTimetable
class Hours(CustomTimetable):
    step = 1
    def next_after(self, moment):
        found = moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        while found.hour % self.step:
            found += timedelta(hours=1)
        return found
"""


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def at(moment: datetime) -> str:
    return f"{moment:%d %H:%M}"


def next_tick(station: Any) -> str | None:
    ((tick,),) = station.rows("SELECT next_tick FROM dag")
    tick = json.loads(tick) if isinstance(tick, str) else tick
    return None if tick is None else at(parse_iso(tick["run_after"]))


def ticks(station: Any) -> list[datetime]:
    rows = station.rows("SELECT ticks FROM dag_ticks")
    stored = [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in rows]
    return [parse_iso(tick["run_after"]) for listed in stored for tick in listed]


def use_up(station: Any, tick: datetime | None) -> None:
    """Let the DAG go on to ``tick`` as a scheduler would."""
    stored = {name: tick.isoformat() for name in ("run_after", "logical_date", "start", "end")} if tick else None
    value = "NULL" if stored is None else f"'{json.dumps(stored)}'"
    micros = "NULL" if tick is None else int(tick.timestamp()) * 1_000_000
    station.db.write(
        lambda c: c.exec_driver_sql(f"UPDATE dag SET next_tick = {value}, next_run_after = {micros}") and None
    )


def test_the_ticks_around_now_are_stored_with_the_next_one(any_station: Any, dag_source: Source) -> None:
    any_station.write("moon.py", dag_source("moon", "schedule=Hours()", first=HOURLY))
    any_station.look()
    assert any_station.errors() == {}
    assert next_tick(any_station) == "10 13:00"
    assert len(ticks(any_station)) == 220
    assert any_station.rows("SELECT schedule FROM dag") == [("Hours",)]
    ((document,),) = any_station.rows("SELECT document FROM dag_version")
    assert json.loads(document)["timetable"] == {"type": "stored", "name": "Hours", "summary": "Hours"}


def test_before_the_ticks_are_used_up_the_file_is_parsed_for_more(any_station: Any, dag_source: Source) -> None:
    any_station.write("moon.py", dag_source("moon", "schedule=Hours()", first=HOURLY))
    any_station.look()
    low = ticks(any_station)[-51]
    any_station.clock.advance((low - any_station.clock.now()).total_seconds() - 1)
    use_up(any_station, low)
    any_station.look()
    assert ticks(any_station)[-51] == low
    use_up(any_station, low + timedelta(hours=1))
    any_station.clock.advance(5)
    any_station.look()
    assert ticks(any_station)[-1] == low + timedelta(hours=200)
    assert next_tick(any_station) == at(low + timedelta(hours=1))
    assert any_station.versions("moon") == 1


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=5)])
def test_when_all_are_used_up_the_newest_missed_tick_comes_next_or_the_one_to_come(
    station: Any, dag_source: Source, late: timedelta
) -> None:
    station.write("moon.py", dag_source("moon", "schedule=Hours()", first=HOURLY))
    station.look()
    last = ticks(station)[-1]
    use_up(station, None)
    station.clock.advance((last + late + timedelta(minutes=1) - station.clock.now()).total_seconds())
    station.look()
    assert next_tick(station) == at(last + late if late else last + timedelta(hours=1))
    assert len(station.wakes) == 2


def test_with_catch_up_ticks_begin_at_the_start_date_and_go_on_where_they_ended(
    station: Any, dag_source: Source
) -> None:
    arguments = "schedule=Hours(), catchup=True, start_date=datetime(2024, 1, 1)"
    station.write("moon.py", dag_source("moon", arguments, first=HOURLY))
    station.look()
    assert next_tick(station) == "01 00:00"
    first = ticks(station)
    assert (first[0], first[-1]) == (utc(2024, 1, 1), utc(2024, 1, 1) + timedelta(hours=199))
    use_up(station, None)
    station.clock.advance(5)
    station.look()
    assert next_tick(station) == at(first[-1] + timedelta(hours=1))
    assert ticks(station)[-1] == first[-1] + timedelta(hours=200)


def test_another_timetable_of_the_same_name_takes_over_at_once(station: Any, dag_source: Source) -> None:
    station.write("moon.py", dag_source("moon", "schedule=Hours()", first=HOURLY))
    station.look()
    station.write("moon.py", dag_source("moon", "schedule=Hours()", first=HOURLY.replace("step = 1", "step = 6")))
    station.look()
    assert next_tick(station) == "10 18:00"
    station.write("moon.py", dag_source("moon", "schedule='@daily'"))
    station.look()
    assert next_tick(station) == "11 00:00"
    assert ticks(station) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('no moon')", "raised RuntimeError: no moon"),
        ("return moment", "which is not later"),
        ("return 'tomorrow'", "gave 'tomorrow'; give a datetime with a time zone"),
        ("\n        while True: pass", "did not answer within"),
    ],
)
def test_a_timetable_that_fails_or_hangs_is_an_import_error_that_names_it(
    station: Any, dag_source: Source, body: str, words: str
) -> None:
    station.overrides["dags.parse_timeout_seconds"] = "1"
    first = (
        "from clockmill.timetables import CustomTimetable\n"
        f"class Moon(CustomTimetable):\n    def next_after(self, moment): {body}\n"
    )
    station.write("moon.py", dag_source("moon", "schedule=Moon()", first=first) + dag_source("other"))
    station.look()
    assert station.errors()["moon.py"].startswith("The timetable Moon")
    assert words in station.errors()["moon.py"]
    assert station.active() == ["other"]


def test_a_file_that_gives_no_more_ticks_is_left_alone_for_a_minute(station: Any, dag_source: Source) -> None:
    flag = station.home / "broken"
    given = f"    from pathlib import Path\n    step = 1 // (not Path({str(flag)!r}).exists())"
    first = HOURLY.replace("    step = 1", given)
    station.write("moon.py", dag_source("moon", "schedule=Hours()", first=first))
    station.look()
    flag.touch()
    use_up(station, None)
    station.clock.advance(5)
    station.look()
    assert "ZeroDivisionError" in station.errors()["moon.py"]
    flag.unlink()
    station.clock.advance(59)
    station.look()
    assert next_tick(station) is None
    station.clock.advance(5)
    station.look()
    assert next_tick(station) == "10 13:00"
    assert station.errors() == {}


def test_where_scheduled_runs_are_not_allowed_no_tick_comes_next(station: Any, dag_source: Source) -> None:
    station.write("sales.py", dag_source("sales", "schedule='@daily'"))
    station.look()
    station.write("sales.py", dag_source("sales", "schedule='@daily', allowed_run_types=['manual', 'backfill']"))
    station.look()
    assert next_tick(station) is None
    station.write("sales.py", dag_source("sales", "schedule='@daily'"))
    station.look()
    assert next_tick(station) == "11 00:00"
    assert station.rows("SELECT overlap FROM dag") == [("queue",)]
