"""What sensors and triggers may see of the runs of other DAGs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal, select

from clockmill.clock import iso_or_none, parse_iso
from clockmill.protocols import StatesQuery, StatesSeen
from clockmill.storage.tables import dag, dag_run, dag_version, task_instance

_NEWEST = select(dag.c.version_id).where(dag.c.dag_id == bindparam("dag_id"), dag.c.is_active)
_RUNS = select(dag_run.c.id, dag_run.c.run_id, dag_run.c.logical_date, dag_run.c.state, dag_run.c.version_id).where(
    dag_run.c.dag_id == bindparam("dag_id")
)
_BY_RUN_ID = _RUNS.where(dag_run.c.run_id.in_(bindparam("names", expanding=True)))
_BY_DATE = _RUNS.where(dag_run.c.logical_date.in_(bindparam("dates", expanding=True)))


def states_seen(connection: Connection, query: StatesQuery) -> StatesSeen:
    """How the runs that ``query`` names stand, and the tasks in them."""
    newest = connection.execute(_NEWEST, {"dag_id": query.dag_id}).scalar_one_or_none()
    runs = _runs(connection, query)
    if query.task_ids or query.group_id:
        for run, row in runs:
            names = _task_ids(connection, row.version_id, query)
            run["tasks"] = _counts(connection, row.id, names)
    missing = _missing(connection, newest, query) if query.check and newest is not None else []
    return StatesSeen(is_known=newest is not None, missing=missing, runs=[run for run, _ in runs])


def _runs(connection: Connection, query: StatesQuery) -> list[tuple[dict[str, Any], Any]]:
    if query.run_ids is not None:
        rows = connection.execute(_BY_RUN_ID, {"dag_id": query.dag_id, "names": query.run_ids})
    else:
        dates = [parse_iso(text) for text in query.logical_dates or ()]
        rows = connection.execute(_BY_DATE, {"dag_id": query.dag_id, "dates": dates})
    return [
        ({"run_id": row.run_id, "logical_date": iso_or_none(row.logical_date), "state": row.state, "tasks": {}}, row)
        for row in rows
    ]


def _counts(connection: Connection, dag_run_id: int, task_ids: Iterable[str]) -> dict[str, dict[str, int]]:
    named: ColumnElement[bool] = task_instance.c.task_id.in_(list(task_ids))
    statement = (
        select(task_instance.c.task_id, task_instance.c.state, func.count())
        .where(task_instance.c.dag_run_id == literal(dag_run_id), named)
        .group_by(task_instance.c.task_id, task_instance.c.state)
    )
    counts: dict[str, dict[str, int]] = {}
    for task_id, state, number in connection.execute(statement):
        counts.setdefault(task_id, {})[state] = number
    return counts


def _task_ids(connection: Connection, version_id: int, query: StatesQuery) -> list[str]:
    names = list(query.task_ids or ())
    if query.group_id is None:
        return names
    return [*names, *_members(_document(connection, version_id), query.group_id)]


def _missing(connection: Connection, version_id: int, query: StatesQuery) -> list[str]:
    document = _document(connection, version_id)
    known = {task["task_id"] for task in document["tasks"]}
    missing = [name for name in query.task_ids or () if name not in known]
    groups = {group["group_id"] for group in document["groups"]}
    return missing + ([query.group_id] if query.group_id is not None and query.group_id not in groups else [])


def _document(connection: Connection, version_id: int) -> dict[str, Any]:
    text = connection.execute(select(dag_version.c.document).where(dag_version.c.id == version_id)).scalar_one()
    document: dict[str, Any] = json.loads(text)
    return document


def _members(document: dict[str, Any], group_id: str) -> list[str]:
    """The tasks of a group and of the groups in it. Read from the plain JSON: decoding a large DAG takes longer."""
    inside = {group_id}
    parents = {group["group_id"]: group["parent"] for group in document["groups"]}
    for name in parents:
        above: str | None = name
        while above is not None and above not in inside:
            above = parents[above]
        if above is not None:
            inside.add(name)
    return [task["task_id"] for task in document["tasks"] if task["group"] in inside]
