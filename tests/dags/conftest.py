"""What the weather table has to hold, computed from the file of observations alone."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import clockmill.dags

OBSERVATIONS = Path(clockmill.dags.__file__).parent / "data" / "seattle-weather.csv"
Row = tuple[Any, ...]


@pytest.fixture
def expected_rows() -> list[Row]:
    """The rows of January 2012, in decimals."""
    with OBSERVATIONS.open(newline="") as file:
        return [_row(each) for each in csv.DictReader(file) if each["date"].startswith("2012/01/")]


def _row(row: dict[str, str]) -> Row:
    low, high = Decimal(row["temp_min"]), Decimal(row["temp_max"])
    rain, wind = Decimal(row["precipitation"]), Decimal(row["wind"])
    day = row["date"].replace("/", "-")
    return day, row["weather"], rain, (low + high) / 2, high - low, wind, int(rain >= 1)


@pytest.fixture
def stored_rows() -> Callable[[Path], list[Row]]:
    """Reads the table, its numbers as decimals."""

    def read(path: Path) -> list[Row]:
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("SELECT * FROM daily_weather ORDER BY day").fetchall()
        return [tuple(Decimal(str(cell)) if isinstance(cell, float) else cell for cell in row) for row in found]

    return read
