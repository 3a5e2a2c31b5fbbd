"""Between records and rows; a record is a dataclass with slots, whose fields have the names of columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table


def columns_of(record: Any, table: Table) -> list[ColumnElement[Any]]:
    """The columns that a record of that class is read from, in the order of its fields."""
    return [table.c[name] for name in record.__slots__]


def values_of(record: Any) -> dict[str, Any]:
    """The fields of a record by name; what they hold is not copied."""
    return {name: getattr(record, name) for name in record.__slots__}
