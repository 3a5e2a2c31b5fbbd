"""XComs. A row exists only while the try that pushed it counts as a success, so what is there is visible.

Tasks read often and one value at a time, so the statements are built once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, insert, select

from clockmill.storage.records import XComValue
from clockmill.storage.rows import values_of
from clockmill.storage.tables import dag_run, xcom

_LENGTHS = select(xcom.c.task_instance_id, xcom.c.length).where(
    xcom.c.dag_run_id == bindparam("dag_run_id"),
    xcom.c.key == bindparam("key"),
    xcom.c.task_id == bindparam("task_id"),
)
_THIS_RUN = (dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.run_id == bindparam("run_id"))


def values_of_run(
    connection: Connection,
    *,
    dag_id: str,
    run_id: str,
    key: str,
    task_ids: Sequence[str] | None = None,
    map_indexes: Collection[int] | None = None,
) -> list[tuple[str, int, str]]:
    """The XComs of one run with that key: ``(task_id, map_index, value as JSON text)``, by map index within a task.

    :param task_ids: only of these tasks, in this order; None for all of the run, by task id.
    :param map_indexes: only of these map indexes; None for all.
    """
    parameters: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "key": key}
    if task_ids is not None:
        parameters["task_ids"] = list(task_ids)
    if map_indexes is not None:
        parameters["map_indexes"] = list(map_indexes)
    rows = connection.execute(_values(task_ids is not None, map_indexes is not None), parameters)
    found = [(row[0], row[1], row[2]) for row in rows]
    if task_ids is not None and len(task_ids) > 1:
        place = {task_id: number for number, task_id in enumerate(task_ids)}
        found.sort(key=lambda value: place[value[0]])
    return found


def values_until_run(
    connection: Connection,
    *,
    dag_id: str,
    run_id: str,
    key: str,
    task_ids: Sequence[str] | None = None,
    map_indexes: Collection[int] | None = None,
) -> list[tuple[str, int, str]]:
    """As :func:`values_of_run`, but for each task from the newest run up to that one in which it has such a value."""
    found: list[tuple[str, int, str]] = []
    for wanted in [None] if task_ids is None else [[task_id] for task_id in task_ids]:
        run = _newest_run_with(connection, dag_id, run_id, key, wanted, map_indexes)
        if run is not None:
            found += values_of_run(
                connection, dag_id=dag_id, run_id=run, key=key, task_ids=wanted, map_indexes=map_indexes
            )
    return found


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


def store_xcoms(connection: Connection, values: Sequence[XComValue], now: datetime) -> None:
    """Make the values of successful tries visible."""
    if values:
        rows = [{**values_of(value), "created_at": now} for value in values]
        connection.execute(insert(xcom), rows)


def drop_xcoms(connection: Connection, task_instance_ids: Collection[int]) -> None:
    """Forget the values of task instances that were cleared."""
    if task_instance_ids:
        connection.execute(delete(xcom).where(xcom.c.task_instance_id.in_(list(task_instance_ids))))


@cache
def _values(by_task: bool, by_map_index: bool) -> Select[Any]:
    statement = (
        select(xcom.c.task_id, xcom.c.map_index, xcom.c.value)
        .join(dag_run, dag_run.c.id == xcom.c.dag_run_id)
        .where(*_THIS_RUN, xcom.c.key == bindparam("key"))
        .order_by(xcom.c.task_id, xcom.c.map_index)
    )
    return _narrowed(statement, by_task, by_map_index)


def _narrowed(statement: Select[Any], by_task: bool, by_map_index: bool) -> Select[Any]:
    if by_task:
        statement = statement.where(xcom.c.task_id.in_(bindparam("task_ids", expanding=True)))
    if by_map_index:
        statement = statement.where(xcom.c.map_index.in_(bindparam("map_indexes", expanding=True)))
    return statement


def _newest_run_with(
    connection: Connection,
    dag_id: str,
    run_id: str,
    key: str,
    task_ids: Sequence[str] | None,
    map_indexes: Collection[int] | None,
) -> str | None:
    """The newest run until that one, by logical date, or by age when it has none, that has such a value.

    The search goes down an index of the runs and stops at the first that has one.
    """
    this = connection.execute(
        select(dag_run.c.id, dag_run.c.logical_date).where(*_THIS_RUN), {"dag_id": dag_id, "run_id": run_id}
    ).first()
    if this is None:
        return None
    key_column, limit = (dag_run.c.id, this[0]) if this[1] is None else (dag_run.c.logical_date, this[1])
    has_value = select(xcom.c.id).where(xcom.c.dag_run_id == dag_run.c.id, xcom.c.key == key)
    has_value = _narrowed(has_value, task_ids is not None, map_indexes is not None).correlate(dag_run)
    statement = (
        select(dag_run.c.run_id)
        .where(dag_run.c.dag_id == dag_id, key_column <= limit, has_value.exists())
        .order_by(key_column.desc())
        .limit(1)
    )
    parameters = {"task_ids": task_ids, "map_indexes": map_indexes and list(map_indexes)}
    given = {name: value for name, value in parameters.items() if value is not None}
    found: str | None = connection.execute(statement, given).scalar_one_or_none()
    return found
