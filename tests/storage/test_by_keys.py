"""What a service does all the time reads no whole table, also when its plan is from a time when there was nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

from clockmill.clock import parse_iso
from clockmill.storage import transitions, workers
from clockmill.storage.engine import Database

#: Executions after which psycopg has prepared a statement and PostgreSQL keeps one plan for it.
PLANNED_AFTER = 12
NOW = parse_iso("2026-06-01T00:00:00")

_READS = text("SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE relname IN ('attempt', 'worker_report')")


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """As a scheduler and a worker have it."""
    parent = Database(postgres_url)
    yield parent.by_keys()
    parent.close()


def claim_one(connection: Connection) -> None:
    transitions.claim_attempts(connection, "w1", [("live", "token-live")], NOW, asking=False)
    workers.held_by(connection, "w1")


def read_whole(connection: Connection) -> set[str]:
    """Which tables that transaction has walked through, by what the server counted."""
    claim_one(connection)
    return {row.relname for row in connection.execute(_READS) if row.seq_scan}


def test_what_was_planned_for_empty_tables_walks_through_none_of_them(database: Database, rows: Any) -> None:
    run = rows.run(rows.dag("d"), "d", "r")
    rows.attempt(run, rows.task(run, "t"), "live", "queued")
    for _ in range(PLANNED_AFTER):
        database.write(claim_one)

    assert database.write(read_whole) == set()


def test_pages_leave_it_to_the_planner(postgres_url: str) -> None:
    pages = Database(postgres_url)
    shown = text("SELECT current_setting('enable_seqscan'), current_setting('enable_hashjoin')")
    try:
        assert pages.read(lambda c: tuple(c.execute(shown).one())) == ("on", "on")
        assert pages.by_keys().read(lambda c: tuple(c.execute(shown).one())) == ("off", "off")
    finally:
        pages.close()


def test_an_sqlite_database_goes_by_keys_anyway(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    assert database.by_keys() is database
    database.close()
