"""XComs. A row exists only while the try that pushed it counts as a success, so what is there is visible.

Tasks read often and one value at a time, so the statements are built once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, or_, select

from clockmill.protocols import XComQuery
from clockmill.storage.elements import Elements
from clockmill.storage.records import XComValue
from clockmill.storage.rows import values_of
from clockmill.storage.tables import dag_run, task_instance, xcom

_LENGTHS = select(xcom.c.task_instance_id, xcom.c.length).where(
    xcom.c.dag_run_id == bindparam("dag_run_id"),
    xcom.c.key == bindparam("key"),
    xcom.c.task_id == bindparam("task_id"),
)
_SHORT = select(xcom.c.value).where(
    xcom.c.task_instance_id == bindparam("task_instance_id"),
    xcom.c.key == bindparam("key"),
    func.length(xcom.c.value) <= bindparam("longest"),
)
_THIS_RUN = (dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.run_id == bindparam("run_id"))


def find_xcoms(
    connection: Connection, query: XComQuery, elements: Elements | None = None
) -> list[tuple[str, int, str]]:
    """XComs as ``(task_id, map_index, value as JSON text)``, by map index within a task.

    :param elements: remembers lists between one question for an element and the next.
    """
    if query.element is not None:
        return _elements(connection, query, query.element, elements or Elements())
    if not query.include_prior_dates:
        return _of_run(connection, query)
    found: list[tuple[str, int, str]] = []
    for wanted in [None] if query.task_ids is None else [[task_id] for task_id in query.task_ids]:
        of_task = replace(query, task_ids=wanted)
        run_id = _newest_run_with(connection, of_task)
        if run_id is not None:
            found += _of_run(connection, replace(of_task, run_id=run_id))
    return found


def measure_xcoms(connection: Connection, query: XComQuery) -> tuple[int, int | None]:
    """How many such XComs there are, and how many elements the longest has; None when none is a list or mapping."""
    filters = _Filters.of(query)
    number, length = connection.execute(_measure(filters), filters.parameters(query)).one()
    return number, length


def _of_run(connection: Connection, query: XComQuery) -> list[tuple[str, int, str]]:
    filters = _Filters.of(query)
    rows = connection.execute(_values(filters), filters.parameters(query)).all()
    found = [(row.task_id, row.map_index, row.value) for row in rows]
    if query.task_ids is not None and len(query.task_ids) > 1:
        place = {task_id: number for number, task_id in enumerate(query.task_ids)}
        found.sort(key=lambda value: place[value[0]])
    return found


def _elements(connection: Connection, query: XComQuery, index: int, known: Elements) -> list[tuple[str, int, str]]:
    def whole(row_id: int) -> str:
        return str(connection.execute(_WHOLE, {"id": row_id}).scalar_one())

    filters = _Filters.of(query)
    rows = connection.execute(_places(filters), filters.parameters(query)).all()
    texts = [known.get((row.id, row.created_at), index, partial(whole, row.id)) for row in rows]
    return [(row.task_id, row.map_index, text) for row, text in zip(rows, texts, strict=True) if text is not None]


def list_xcoms(connection: Connection, dag_id: str, run_id: str, task_id: str | None = None) -> list[dict[str, Any]]:
    """The XComs of a run or of one of its tasks, with their values as JSON text:
    ``task_id map_index key value try_number created_at``."""
    columns = [xcom.c[name] for name in ("task_id", "map_index", "key", "value", "try_number", "created_at")]
    statement = (
        select(*columns)
        .join(dag_run, dag_run.c.id == xcom.c.dag_run_id)
        .where(*_THIS_RUN)
        .order_by(xcom.c.task_id, xcom.c.map_index, xcom.c.id)
    )
    if task_id is not None:
        statement = statement.where(xcom.c.task_id == task_id)
    rows = connection.execute(statement, {"dag_id": dag_id, "run_id": run_id})
    return [dict(row._mapping) for row in rows]


def xcom_lengths(connection: Connection, dag_run_id: int, task_id: str, key: str) -> dict[int, int | None]:
    """How long the value of each instance of a task is, by the instance's row id; None for what has no length."""
    rows = connection.execute(_LENGTHS, {"dag_run_id": dag_run_id, "task_id": task_id, "key": key})
    return {row.task_instance_id: row.length for row in rows}


def short_xcom(connection: Connection, task_instance_id: int, key: str, longest: int) -> str | None:
    """What a task instance pushed, as JSON text; None when there is none of at most ``longest`` characters."""
    given = {"task_instance_id": task_instance_id, "key": key, "longest": longest}
    text: str | None = connection.execute(_SHORT, given).scalar_one_or_none()
    return text


def store_xcoms(connection: Connection, values: Sequence[XComValue], now: datetime) -> None:
    """Make the values of successful tries visible."""
    if values:
        rows = [{**values_of(value), "created_at": now} for value in values]
        connection.execute(insert(xcom), rows)


def drop_xcoms(connection: Connection, task_instance_ids: Collection[int]) -> None:
    """Forget the values of task instances that were cleared."""
    if task_instance_ids:
        connection.execute(delete(xcom).where(xcom.c.task_instance_id.in_(list(task_instance_ids))))


class _Filters(NamedTuple):
    """Which conditions a statement has."""

    by_task: bool
    by_map_index: bool
    scope: str  # any, exact, within
    is_page: bool

    @classmethod
    def of(cls, query: XComQuery) -> _Filters:
        return cls(
            by_task=query.task_ids is not None,
            by_map_index=query.map_indexes is not None,
            scope="any" if query.scope is None else "within" if query.is_within else "exact",
            is_page=query.limit is not None or query.offset > 0,
        )

    def parameters(self, query: XComQuery) -> dict[str, Any]:
        """What the conditions are filled with."""
        given = {
            "task_ids": query.task_ids,
            "map_indexes": query.map_indexes,
            "scope": query.scope,
            "inner": None if query.scope is None else f"{query.scope}.%",
            "page_offset": query.offset,
            "page_limit": 1 << 31 if query.limit is None else query.limit,
        }
        unused = {name for name, value in given.items() if value is None}
        rest = {name: value for name, value in given.items() if name not in unused}
        return {"dag_id": query.dag_id, "run_id": query.run_id, "key": query.key, **rest}


@cache
def _values(filters: _Filters) -> Select[Any]:
    return _in_order(select(xcom.c.task_id, xcom.c.map_index, xcom.c.value), filters)


@cache
def _places(filters: _Filters) -> Select[Any]:
    return _in_order(select(xcom.c.task_id, xcom.c.map_index, xcom.c.id, xcom.c.created_at), filters)


def _in_order(statement: Select[Any], filters: _Filters) -> Select[Any]:
    statement = _chosen(statement, filters).order_by(xcom.c.task_id, xcom.c.map_index)
    if filters.is_page:
        statement = statement.offset(bindparam("page_offset")).limit(bindparam("page_limit"))
    return statement


@cache
def _measure(filters: _Filters) -> Select[Any]:
    measures: tuple[Any, ...] = (func.count(), func.max(xcom.c.length))
    return _chosen(select(*measures), filters)


def _chosen(statement: Select[Any], filters: _Filters) -> Select[Any]:
    if filters.scope == "any":
        return _narrowed(statement.join_from(xcom, dag_run).where(*_THIS_RUN, xcom.c.key == bindparam("key")), filters)
    # The instances first: their index knows the scopes, and each has few values.
    statement = (
        statement.select_from(dag_run)
        .join(task_instance, task_instance.c.dag_run_id == dag_run.c.id)
        .join(xcom, xcom.c.task_instance_id == task_instance.c.id)
        .where(*_THIS_RUN, xcom.c.key == bindparam("key"))
    )
    return _narrowed(statement, filters)


def _narrowed(statement: Select[Any], filters: _Filters) -> Select[Any]:
    task_id = xcom.c.task_id if filters.scope == "any" else task_instance.c.task_id
    if filters.by_task:
        statement = statement.where(task_id.in_(bindparam("task_ids", expanding=True)))
    if filters.by_map_index:
        statement = statement.where(xcom.c.map_index.in_(bindparam("map_indexes", expanding=True)))
    if filters.scope == "exact":
        statement = statement.where(task_instance.c.scope == bindparam("scope"))
    if filters.scope == "within":
        inner = task_instance.c.scope.like(bindparam("inner"))
        statement = statement.where(or_(task_instance.c.scope == bindparam("scope"), inner))
    return statement


_WHOLE = select(xcom.c.value).where(xcom.c.id == bindparam("id"))


def _newest_run_with(connection: Connection, query: XComQuery) -> str | None:
    """The newest run until that one, by logical date, or by age when it has none, that has such a value.

    The search goes down an index of the runs and stops at the first that has one.
    """
    filters = _Filters.of(replace(query, scope=None))
    given = filters.parameters(query)
    this = connection.execute(select(dag_run.c.id, dag_run.c.logical_date).where(*_THIS_RUN), given).first()
    if this is None:
        return None
    key_column, limit = (dag_run.c.id, this[0]) if this[1] is None else (dag_run.c.logical_date, this[1])
    has_value = select(xcom.c.id).where(xcom.c.dag_run_id == dag_run.c.id, xcom.c.key == bindparam("key"))
    has_value = _narrowed(has_value, filters).correlate(dag_run)
    statement = (
        select(dag_run.c.run_id)
        .where(dag_run.c.dag_id == bindparam("dag_id"), key_column <= limit, has_value.exists())
        .order_by(key_column.desc())
        .limit(1)
    )
    found: str | None = connection.execute(statement, given).scalar_one_or_none()
    return found
