"""What the web pages read: small, bounded answers, paged by key, never a count over history."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, ScalarSelect, String, and_, case, cast, func, or_, select

from clockmill.state import RunState
from clockmill.storage.conditions import ACTIVE_RUN
from clockmill.storage.paging import page_by_name, page_newest_first
from clockmill.storage.rows import columns_of
from clockmill.storage.tables import dag, dag_run, dag_version, import_error, lit


class DagFilter(StrEnum):
    """Which DAGs a list shows."""

    ALL = "all"
    ACTIVE = "active"  #: not paused
    PAUSED = "paused"
    RUNNING = "running"  #: with a queued or running run
    FAILING = "failing"  #: whose newest run failed


@dataclass(frozen=True, slots=True, kw_only=True)
class DagLine:
    """A DAG as a list shows it."""

    dag_id: str
    description: str | None
    owner: str
    tags: list[str]
    schedule: str
    file: str
    is_paused: bool
    is_active: bool
    next_run_after: datetime | None
    version_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DagCounts:
    """How many DAGs each :class:`DagFilter` shows."""

    all: int
    active: int
    paused: int
    running: int
    failing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DagVersionLine:
    """A version of a DAG: its number, when it came, and its document as JSON text."""

    number: int
    created_at: datetime
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """A run as a list shows it."""

    id: int
    dag_id: str
    run_id: str
    state: str
    run_type: str
    logical_date: datetime | None
    run_after: datetime
    start_date: datetime | None
    end_date: datetime | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportErrorLine:
    """A DAG file that could not be imported."""

    file: str
    line: int | None
    message: str
    traceback: str
    created_at: datetime


def _newest_state() -> ScalarSelect[str]:
    newest = select(dag_run.c.state).where(dag_run.c.dag_id == dag.c.dag_id)
    return newest.order_by(dag_run.c.id.desc()).limit(1).scalar_subquery()


def _shown_by(which: DagFilter) -> ColumnElement[bool]:
    match which:
        case DagFilter.ALL:
            return dag.c.is_active
        case DagFilter.ACTIVE:
            return and_(dag.c.is_active, ~dag.c.is_paused)
        case DagFilter.PAUSED:
            return and_(dag.c.is_active, dag.c.is_paused)
        case DagFilter.RUNNING:
            busy = select(dag_run.c.id).where(dag_run.c.dag_id == dag.c.dag_id, ACTIVE_RUN)
            return and_(dag.c.is_active, busy.exists())
        case DagFilter.FAILING:
            return and_(dag.c.is_active, _newest_state() == RunState.FAILED.value)


def _matches(search: str) -> ColumnElement[bool]:
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    columns = (dag.c.dag_id, dag.c.description, dag.c.owner, cast(dag.c.tags, String))
    return or_(*(column.ilike(f"%{escaped}%", escape="\\") for column in columns))


def list_dags(
    connection: Connection, *, which: DagFilter = DagFilter.ALL, search: str = "", after: str = "", limit: int = 100
) -> list[DagLine]:
    """DAGs by name.

    :param search: text found in the id, description, owner or a tag, whatever its case.
    :param after: the last id of the page before.
    """
    statement = select(*columns_of(DagLine, dag)).where(_shown_by(which))
    if search:
        statement = statement.where(_matches(search))
    return [DagLine(**row._mapping) for row in connection.execute(page_by_name(statement, dag.c.dag_id, after, limit))]


def count_dags(connection: Connection) -> DagCounts:
    """How many DAGs there are of each kind; reads one run per DAG at most."""
    counted = [func.count(case((_shown_by(which), 1))).label(which.value) for which in DagFilter]
    return DagCounts(**connection.execute(select(*counted)).one()._mapping)


def find_dag(connection: Connection, dag_id: str) -> DagLine | None:
    """The DAG with that id, also when its file is gone, or None."""
    row = connection.execute(select(*columns_of(DagLine, dag)).where(dag.c.dag_id == dag_id)).first()
    return None if row is None else DagLine(**row._mapping)


def find_version(connection: Connection, version_id: int) -> DagVersionLine | None:
    """A stored version of a DAG, or None."""
    row = connection.execute(
        select(*columns_of(DagVersionLine, dag_version)).where(dag_version.c.id == version_id)
    ).first()
    return None if row is None else DagVersionLine(**row._mapping)


def newest_runs(connection: Connection, ids: Collection[str], *, per_dag: int) -> dict[str, list[RunLine]]:
    """The newest runs of several DAGs, oldest first; an id without runs has an empty list.

    One short look at the index for each: in one statement for all, PostgreSQL reads every run of those DAGs.
    """
    return {dag_id: list_runs(connection, dag_id, limit=per_dag)[::-1] for dag_id in ids}


def list_runs(
    connection: Connection,
    dag_id: str,
    *,
    state: str = "",
    run_type: str = "",
    before: int | None = None,
    limit: int = 25,
) -> list[RunLine]:
    """Runs of a DAG, newest first.

    :param state: only runs in that state; all when empty.
    :param run_type: only runs of that type; all when empty.
    :param before: the last row id of the page before.
    """
    statement = select(*columns_of(RunLine, dag_run)).where(dag_run.c.dag_id == dag_id)
    if state:
        statement = statement.where(dag_run.c.state == lit(RunState(state)))
    if run_type:
        statement = statement.where(dag_run.c.run_type == run_type)
    statement = page_newest_first(statement, dag_run.c.id, before, limit)
    return [RunLine(**row._mapping) for row in connection.execute(statement)]


def list_import_errors(connection: Connection, *, limit: int = 100) -> list[ImportErrorLine]:
    """DAG files that could not be imported, by name."""
    statement = select(*columns_of(ImportErrorLine, import_error)).order_by(import_error.c.file).limit(limit)
    return [ImportErrorLine(**row._mapping) for row in connection.execute(statement)]
