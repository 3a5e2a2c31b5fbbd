"""``INSERT ... ON CONFLICT``, which both databases know under one name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = postgresql.Insert | sqlite.Insert


def upsert(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    """Insert a row, or change the one that has its primary key."""
    keys = [column.name for column in table.primary_key]
    statement = _insert(connection, table).values(**values)
    changed = {name: statement.excluded[name] for name in values if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


def insert_missing(connection: Connection, table: Table) -> Insert:
    """A statement that inserts rows, and passes over those of which one with the same key is there."""
    return _insert(connection, table).on_conflict_do_nothing()


def _insert(connection: Connection, table: Table) -> Insert:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
