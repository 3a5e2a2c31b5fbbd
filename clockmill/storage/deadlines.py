"""Deadlines of runs and tasks: which are open, which are due, and how long things usually take."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Integer, bindparam, func, insert, select, union, update

from clockmill.state import RunState, TaskState
from clockmill.storage.conditions import FINISHED_RUN
from clockmill.storage.rows import columns_of, values_of
from clockmill.storage.tables import dag_run, deadline, lit, task_instance


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDeadline:
    """A deadline to be kept.

    :param task_instance_id: the task that it is for; None for the whole run.
    :param position: which of the alerts of the DAG; -1 for that of a task.
    :param warn_at: when it can no longer be met in the usual time, unless it has begun by then; None when unknown.
    """

    dag_run_id: int
    task_instance_id: int | None
    name: str
    position: int
    due_at: datetime
    warn_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineRow:
    """A deadline; see the table ``deadline``."""

    id: int
    dag_run_id: int
    task_instance_id: int | None
    name: str
    position: int
    due_at: datetime
    warn_at: datetime | None
    warned_at: datetime | None
    missed_at: datetime | None
    met_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedDeadline:
    """A deadline that was missed, for a list over all DAGs.

    :param task_id: the task that it was for; None for the whole run.
    """

    dag_id: str
    run_id: str
    task_id: str | None
    name: str
    due_at: datetime
    missed_at: datetime


class Standing(Protocol):
    """What tells where a deadline stands."""

    @property
    def warned_at(self) -> datetime | None: ...
    @property
    def missed_at(self) -> datetime | None: ...
    @property
    def met_at(self) -> datetime | None: ...


def state_of(row: Standing) -> str:
    """Where a deadline stands, in words: ``met``, ``missed``, ``at risk`` or ``open``."""
    if row.met_at is not None:
        return "met"
    if row.missed_at is not None:
        return "missed"
    return "open" if row.warned_at is None else "at risk"


_D = deadline.c
_COLUMNS = columns_of(DeadlineRow, deadline)
_IS_OPEN = (_D.missed_at.is_(None), _D.met_at.is_(None))
_NOW = bindparam("now", type_=_D.due_at.type)
_RUNS_DUE = union(
    select(_D.dag_run_id).where(*_IS_OPEN, _D.due_at <= _NOW),
    select(_D.dag_run_id).where(_D.warn_at.is_not(None), _D.warn_at <= _NOW),
)
_OPEN_OF_RUNS = select(*_COLUMNS).where(*_IS_OPEN, _D.dag_run_id.in_(bindparam("runs", expanding=True))).order_by(_D.id)
_OF_RUN = select(*_COLUMNS).where(_D.dag_run_id == bindparam("run")).order_by(_D.due_at, _D.id)
_MISSED = (
    select(dag_run.c.dag_id, dag_run.c.run_id, task_instance.c.task_id, _D.name, _D.due_at, _D.missed_at)
    .join(dag_run, dag_run.c.id == _D.dag_run_id)
    .outerjoin(task_instance, task_instance.c.id == _D.task_instance_id)
    .where(_D.missed_at.is_not(None), _D.missed_at > bindparam("since", type_=_D.missed_at.type))
    .order_by(_D.missed_at.desc(), _D.id.desc())
    .limit(bindparam("most", type_=Integer))
)
#: The first moments that :func:`clockmill.storage.runs.next_deadline` has to know of.
NEXT_DUE = select(func.min(_D.due_at)).where(*_IS_OPEN)
NEXT_WARNING = select(func.min(_D.warn_at)).where(_D.warn_at.is_not(None))

_LAST = (
    select(dag_run.c.start_date, dag_run.c.end_date)
    .where(dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.start_date.is_not(None))
    .order_by(dag_run.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_LAST_GOOD = _LAST.where(dag_run.c.state == lit(RunState.SUCCESS))
_LAST_OVER = _LAST.where(FINISHED_RUN)
_GOOD_RUNS = (
    select(dag_run.c.id)
    .where(dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.state == lit(RunState.SUCCESS))
    .order_by(dag_run.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_TASK_TIMES = select(
    task_instance.c.task_id, task_instance.c.dag_run_id, task_instance.c.start_date, task_instance.c.end_date
).where(
    task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)),
    task_instance.c.task_id.in_(bindparam("tasks", expanding=True)),
    task_instance.c.state == lit(TaskState.SUCCESS),
    task_instance.c.start_date.is_not(None),
    task_instance.c.end_date.is_not(None),
)


def insert_deadlines(connection: Connection, new: Iterable[NewDeadline]) -> None:
    """Keep deadlines."""
    rows = [values_of(each) for each in new]
    if rows:
        connection.execute(insert(deadline), rows)


def runs_with_due(connection: Connection, now: datetime) -> list[int]:
    """The runs that have a deadline which is over, or of which it is time to warn."""
    return sorted(connection.scalars(_RUNS_DUE, {"now": now}))


def open_deadlines(connection: Connection, dag_run_ids: Collection[int]) -> list[DeadlineRow]:
    """The deadlines of runs that were neither met nor missed."""
    rows = connection.execute(_OPEN_OF_RUNS, {"runs": sorted(dag_run_ids)})
    return [DeadlineRow(**row._mapping) for row in rows]


def deadlines_of_run(connection: Connection, dag_run_id: int) -> list[DeadlineRow]:
    """Every deadline of a run and its tasks, the first due first."""
    return [DeadlineRow(**row._mapping) for row in connection.execute(_OF_RUN, {"run": dag_run_id})]


def missed_since(connection: Connection, since: datetime, *, limit: int = 20) -> list[MissedDeadline]:
    """The deadlines that were missed after ``since``, newest first."""
    found = connection.execute(_MISSED, {"since": since, "most": limit})
    return [MissedDeadline(**row._mapping) for row in found]


def note_deadlines(connection: Connection, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Write what became of deadlines, by id; whoever holds their run."""
    for ident, values in changes.items():
        connection.execute(update(deadline).where(_D.id == ident).values(**values))


def seconds_of_runs(connection: Connection, dag_id: str, *, most: int, only_good: bool) -> list[float]:
    """How long the last runs of a DAG took, in seconds, the newest first.

    :param only_good: leave out those that failed.
    """
    rows = connection.execute(_LAST_GOOD if only_good else _LAST_OVER, {"dag_id": dag_id, "most": most})
    return [(row.end_date - row.start_date).total_seconds() for row in rows if row.end_date is not None]


def seconds_of_tasks(
    connection: Connection, dag_id: str, task_ids: Collection[str], *, most: int
) -> dict[str, list[float]]:
    """How long tasks took in the last runs that succeeded, in seconds; a mapped task from its first to its last."""
    runs = list(connection.scalars(_GOOD_RUNS, {"dag_id": dag_id, "most": most}))
    spans: dict[tuple[str, int], tuple[datetime, datetime]] = {}
    for task_id, run, start, end in connection.execute(_TASK_TIMES, {"runs": runs, "tasks": sorted(task_ids)}):
        first, last = spans.get((task_id, run), (start, end))
        spans[task_id, run] = (min(first, start), max(last, end))
    found: dict[str, list[float]] = {}
    for (task_id, _), (first, last) in spans.items():
        found.setdefault(task_id, []).append((last - first).total_seconds())
    return found
