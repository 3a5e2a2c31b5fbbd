"""``dags next-runs``: the ticks around a moment, and the next change of the clock."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from clockmill import DAG
from clockmill.clock import parse_iso
from clockmill.operators.empty import EmptyOperator
from clockmill.serde import dumps, encode
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.storage.schedules import save_ticks
from clockmill.timetables import CustomTimetable, Schedule, make_timetable, tick_list

AFTER = ("--after", "2026-03-28")


@pytest.fixture
def database(program: Any) -> Any:
    found = Database(f"sqlite:///{program.home / 'clockmill.db'}", synchronous="OFF")
    yield found
    found.close()


@pytest.fixture
def store(database: Database, make_rows: Any) -> Any:
    def stored(schedule: object, **arguments: Any) -> None:
        with DAG("nightly", schedule=schedule, timezone="Europe/Zurich", **arguments) as dag:
            EmptyOperator(task_id="t")
        make_rows(database).dag("nightly")
        document = dumps(encode(dag))
        database.write(lambda c: c.execute(update(tables.dag_version).values(document=document)) and None)

    return stored


def test_the_ticks_are_shown_in_utc_with_what_the_next_change_of_the_clock_does(program: Any, store: Any) -> None:
    store("30 2 * * *")
    found = program.json("dags", "next-runs", "nightly", "-n", "2", "--previous", "1", *AFTER)
    assert [tick["run_after"][:16] for tick in found["previous"]] == ["2026-03-27T01:30"]
    assert [tick["run_after"][:16] for tick in found["next"]] == ["2026-03-28T01:30", "2026-03-29T01:00"]
    assert found["note"] == (
        "On 2026-03-29 at 02:00, the clock of Europe/Zurich goes forward by 1 hour to 03:00: "
        "the tick of 02:30 is due at 03:00."
    )
    assert found["clock_change"].startswith("2026-03-29T01:00:00")
    assert (found["schedule"], found["timezone"]) == ("30 2 * * *", "Europe/Zurich")


def test_the_table_shows_local_times_in_order_and_ends_with_the_note(program: Any, store: Any) -> None:
    store("30 2 * * *", allowed_run_types=["manual"])
    result = program("dags", "next-runs", "nightly", "--number", "1", "--previous", "2", *AFTER)
    lines = [line for line in result.stdout.splitlines() if "2026" in line]
    assert [line.split()[1] for line in lines[:-1]] == ["previous", "previous", "next"]
    assert "Sat 2026-03-28 02:30:00 CET" in lines[2]
    assert lines[-1].startswith("On 2026-03-29 at 02:00, the clock")
    assert "allows no scheduled runs" in result.stderr


def test_the_stored_ticks_of_a_timetable_of_the_authors_own_are_shown(
    program: Any, database: Database, store: Any
) -> None:
    class Years(CustomTimetable):
        def next_after(self, moment: Any) -> Any:
            return moment.replace(year=moment.year + 1, month=1, day=1, hour=0, minute=0, second=0)

    store(Years())
    assert program.json("dags", "next-runs", "nightly", *AFTER)["next"] == []
    ticks = tick_list(Schedule(make_timetable(Years())), parse_iso("2026-01-01"), lambda: False)
    database.write(lambda c: save_ticks(c, "nightly", ticks, parse_iso("2026-01-01")))
    found = program.json("dags", "next-runs", "nightly", "-n", "2", "--previous", "1", *AFTER)
    assert [tick["run_after"][:4] for tick in found["previous"] + found["next"]] == ["2026", "2027", "2028"]
    assert "what the timetable makes of it shows in the ticks" in found["note"]
    assert len(program.json("dags", "next-execution", "nightly", "-n", "3", *AFTER)) == 3
