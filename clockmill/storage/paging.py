"""Keyset paging: a page begins after the key that the one before ended with, so that its cost does not grow."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select

MAX_PAGE = 10_000


def page_newest_first(statement: Select[Any], key: ColumnElement[int], before: int | None, limit: int) -> Select[Any]:
    """The rows whose ascending ``key`` is below ``before``, highest first."""
    if before is not None:
        statement = statement.where(key < before)
    return statement.order_by(key.desc()).limit(min(limit, MAX_PAGE))


def page_by_name(statement: Select[Any], key: ColumnElement[str], after: str | None, limit: int) -> Select[Any]:
    """The rows whose name is above ``after``, in the order of names."""
    if after is not None:
        statement = statement.where(key > after)
    return statement.order_by(key).limit(min(limit, MAX_PAGE))
