"""Daily weather of Seattle, from a file of NOAA observations into a table of an SQLite database.

Each run takes the slice of its own data interval, one day, so runs can go in any order, several at once, and again:
the load is an upsert. Unpausing it makes a run for each day of January 2012; ``end_date`` bounds the catch-up.

The database is ``WEATHER_DATABASE`` in the environment, or the variable ``weather_database``, or
``output/weather.db`` in the home folder.
"""

import csv
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clockmill import DAG, FailTask, SkipTask, task
from clockmill.timetables import CronDataIntervalTimetable

OBSERVATIONS = Path(__file__).parent / "data" / "seattle-weather.csv"
KINDS = {"drizzle", "fog", "rain", "snow", "sun"}
NUMBERS = ("precipitation", "temp_max", "temp_min", "wind")

TABLE = """
CREATE TABLE IF NOT EXISTS daily_weather (
    day TEXT PRIMARY KEY, kind TEXT NOT NULL, precipitation REAL NOT NULL, temp_mean REAL NOT NULL,
    temp_range REAL NOT NULL, wind REAL NOT NULL, is_wet INTEGER NOT NULL)
"""
UPSERT = """
INSERT INTO daily_weather VALUES (:day, :kind, :precipitation, :temp_mean, :temp_range, :wind, :is_wet)
ON CONFLICT (day) DO UPDATE SET kind = excluded.kind, precipitation = excluded.precipitation,
    temp_mean = excluded.temp_mean, temp_range = excluded.temp_range, wind = excluded.wind, is_wet = excluded.is_wet
"""
MONTH_SO_FAR = """
SELECT count(*), coalesce(sum(precipitation), 0), coalesce(avg(temp_mean), 0), coalesce(sum(is_wet), 0)
FROM daily_weather WHERE substr(day, 1, 7) = substr(:day, 1, 7) AND day <= :day
"""


def database_path(named=""):
    home = Path(os.environ.get("CLOCKMILL_HOME", "~/.clockmill")).expanduser()
    path = Path(os.environ.get("WEATHER_DATABASE") or named or home / "output" / "weather.db")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


with DAG(
    "weather_pipeline",
    description="Daily weather of Seattle into a table, one day a run.",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2012, 1, 1, tzinfo=UTC),
    end_date=datetime(2012, 1, 31, tzinfo=UTC),
    catchup=True,
    max_active_runs=4,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    is_paused_upon_creation=True,
    tags=["example", "weather"],
):

    @task
    def extract(data_interval_start, data_interval_end):
        """The observations of the run's interval, as they stand in the file."""
        first, last = (f"{moment:%Y/%m/%d}" for moment in (data_interval_start, data_interval_end))
        with OBSERVATIONS.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if first <= row["date"] < last]
        if not rows:
            raise SkipTask(f"no observation from {first} until {last}")
        return rows

    @task
    def validate(rows):
        """The same with numbers for texts; another try cannot mend a wrong value."""
        checked = [{**row, **{name: float(row[name]) for name in NUMBERS}} for row in rows]
        for row in checked:
            if row["weather"] not in KINDS:
                raise FailTask(f"{row['date']}: unknown weather {row['weather']!r}")
            if row["temp_min"] > row["temp_max"] or row["precipitation"] < 0 or row["wind"] < 0:
                raise FailTask(f"{row['date']}: impossible values {row}")
        return checked

    @task
    def aggregate(rows):
        return [
            {
                "day": row["date"].replace("/", "-"),
                "kind": row["weather"],
                "precipitation": row["precipitation"],
                "temp_mean": round((row["temp_min"] + row["temp_max"]) / 2, 2),
                "temp_range": round(row["temp_max"] - row["temp_min"], 2),
                "wind": row["wind"],
                "is_wet": row["precipitation"] >= 1.0,
            }
            for row in rows
        ]

    @task
    def load(days, database):
        """Insert or replace the days, so that a second run of the same day changes nothing."""
        path = database_path(database)
        with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
            connection.execute(TABLE)
            connection.executemany(UPSERT, days)
        print(f"{len(days)} day(s) in {path}")
        return str(path)

    @task
    def report(path, days):
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            count, rain, mean, wet = connection.execute(MONTH_SO_FAR, days[-1]).fetchone()
        print(f"{days[-1]['day']}: {count} days of this month, {rain:.1f} mm, {mean:.1f} degrees, {wet} wet days")
        return {"days": count, "precipitation": round(rain, 1), "temp_mean": round(mean, 2), "wet_days": wet}

    days = aggregate(validate(extract()))
    report(load(days, "{{ var.value.get('weather_database', '') }}"), days)
