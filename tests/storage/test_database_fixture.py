from __future__ import annotations

from sqlalchemy import func, select

from clockmill.storage import tables
from clockmill.storage.engine import Database


def test_a_test_gets_an_empty_migrated_database(database: Database) -> None:
    runs = database.read(lambda c: c.execute(select(func.count()).select_from(tables.dag_run)).scalar_one())
    assert runs == 0
