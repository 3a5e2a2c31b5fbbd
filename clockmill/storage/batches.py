"""Many rows in one statement: a table made of one JSON parameter.

``UPDATE ... FROM rows`` needs a table of new values. Spelling it out as VALUES makes a new statement for each size;
one JSON parameter keeps the text the same, so that it is compiled and prepared once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from clockmill.storage.tables import to_micros

#: Column types of such a table, by the name that PostgreSQL gives them.
Columns = tuple[tuple[str, str], ...]

_IDS_AT_ONCE = 5_000


def chunks(ids: Collection[int], size: int = _IDS_AT_ONCE) -> Iterator[list[int]]:
    """Row ids in ascending order, few enough at a time for one list of a statement."""
    ordered = sorted(ids)
    return (ordered[start : start + size] for start in range(0, len(ordered), size))


def _plain(value: Any) -> Any:
    return to_micros(value) if isinstance(value, datetime) else value


def packed(rows: Iterable[Mapping[str, Any]]) -> str:
    """``rows`` as the JSON parameter; instants become microseconds."""
    return json.dumps([{key: _plain(value) for key, value in row.items()} for row in rows], ensure_ascii=False)


def source(dialect: str, columns: Columns) -> str:
    """The SQL of a table named ``v`` with those columns, read from the parameter ``:rows``."""
    if dialect == "sqlite":
        picked = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name, _ in columns)
        return f"(SELECT {picked} FROM json_each(:rows)) AS v"
    typed = ", ".join(f"{name} {kind}" for name, kind in columns)
    return f"json_to_recordset(CAST(:rows AS json)) AS v({typed})"


@cache
def _update(dialect: str, table: str, columns: Columns, assigned: tuple[str, ...], condition: str) -> TextClause:
    assignments = ", ".join(f"{name} = v.{name}" for name in assigned)
    return text(
        f"UPDATE {table} SET {assignments} FROM {source(dialect, columns)} "
        f"WHERE {table}.id = v.id AND {condition} RETURNING {table}.id"
    )


def update_rows(
    connection: Connection,
    table: str,
    columns: Columns,
    assigned: tuple[str, ...],
    condition: str,
    rows: Iterable[Mapping[str, Any]],
) -> set[Any]:
    """Update the rows whose ``id`` is given and for which ``condition`` holds; returns the ids that were updated."""
    statement = _update(connection.dialect.name, table, columns, assigned, condition)
    found: Iterable[Row[Any]] = connection.execute(statement, {"rows": packed(rows)})
    return {row[0] for row in found}


@cache
def _insert(dialect: str, table: str, columns: Columns, returned: tuple[str, ...]) -> TextClause:
    names = ", ".join(name for name, _ in columns)
    return text(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {source(dialect, columns)} RETURNING {', '.join(returned)}"
    )


def insert_rows(
    connection: Connection,
    table: str,
    columns: Columns,
    returned: tuple[str, ...],
    rows: Iterable[Mapping[str, Any]],
) -> list[Row[Any]]:
    """Insert rows, in their order; returns the columns asked for of each."""
    statement = _insert(connection.dialect.name, table, columns, returned)
    return list(connection.execute(statement, {"rows": packed(rows)}))
