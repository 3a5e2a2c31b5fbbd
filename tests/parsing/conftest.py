"""A home with a DAG folder, a clock, and a processor that looks when it is told to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from clockmill import config
from clockmill.host.processes import children_of
from clockmill.parsing import DagProcessor
from clockmill.storage.engine import Database
from clockmill.testing import FakeClock

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)


@dataclass
class Station:
    """One home, its folder and its database.

    :param wakes: one item for each time that a scheduler was called.
    """

    home: Path
    db: Database
    clock: FakeClock
    overrides: dict[str, str] = field(default_factory=dict)
    wakes: list[None] = field(default_factory=list)
    processors: list[DagProcessor] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.home / "dags"

    def settings(self) -> config.Settings:
        return config.load(self.home, {"core.load_examples": "false", **self.overrides}, {})

    def processor(self) -> DagProcessor:
        """A fresh service, as after a restart."""
        made = DagProcessor(self.db, self.clock, self.settings(), wake_scheduler=lambda: self.wakes.append(None))
        self.processors.append(made)
        return made

    def write(self, path: str, source: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source)
        return target

    def look(self) -> None:
        """One full pass of the service that is there, or of a new one."""
        (self.processors[-1] if self.processors else self.processor()).run_once()

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        return self.db.read(lambda c: [tuple(row) for row in c.execute(text(query), parameters)])

    def versions(self, dag_id: str) -> int:
        return len(self.rows("SELECT id FROM dag_version WHERE dag_id = :dag_id", dag_id=dag_id))

    def active(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT dag_id FROM dag WHERE is_active ORDER BY dag_id")]

    def errors(self) -> dict[str, str]:
        return dict(self.rows("SELECT file, message FROM import_error"))

    def events(self, kind: str) -> list[str]:
        return [row[0] for row in self.rows("SELECT dag_id FROM event WHERE kind = :kind ORDER BY id", kind=kind)]


def _station(tmp_path: Path, db: Database) -> Iterator[Station]:
    station = Station(tmp_path / "home", db, FakeClock(NOW))
    station.folder.mkdir(parents=True)
    before = children_of(os.getpid())
    yield station
    for processor in station.processors:
        processor.close()
    assert not children_of(os.getpid()) - before


@pytest.fixture
def station(tmp_path: Path, sqlite_url: str) -> Iterator[Station]:
    """On SQLite alone: for what is about files."""
    db = Database(sqlite_url, synchronous="OFF")
    yield from _station(tmp_path, db)
    db.close()


@pytest.fixture
def any_station(tmp_path: Path, database: Database) -> Iterator[Station]:
    """On SQLite and on PostgreSQL: for what is about rows."""
    yield from _station(tmp_path, database)


@pytest.fixture
def dag_source() -> Callable[..., str]:
    """The source of a file with one DAG."""

    def source(dag_id: str, arguments: str = "", *, first: str = "") -> str:
        return (
            f"{first}\nfrom datetime import datetime\nfrom clockmill import DAG\n"
            "from clockmill.operators.empty import EmptyOperator\n"
            f"with DAG({dag_id!r}, {arguments}) as dag:\n    EmptyOperator(task_id='t')\n"
        )

    return source
