"""Candidates for admission: task instances whose dependencies are met, most urgent first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
)

from clockmill.state import Level, RunState, TaskKey, TaskState
from clockmill.storage.tables import Key, dag, dag_run, lit, task_instance

K = TypeVar("K", bound=Hashable)
#: Executor, empty for the default, queue, and the text of what is asked for.
AskKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyTask:
    """A scheduled task instance with what it would claim.

    :param is_followed: whether a later run has scheduled tasks of the same lane and priority.
    """

    id: int
    dag_run_id: int
    lane: int
    priority: int
    dag_id: str
    task_id: str
    map_index: int
    scope: str
    pool: str
    pool_slots: int
    executor: str
    queue: str
    resources: str | None
    max_active_tasks: int
    max_active_per_dag: int | None
    max_active_per_run: int | None
    is_followed: bool

    @property
    def key(self) -> TaskKey:
        """What tells it from the other task instances of its run."""
        return TaskKey(self.task_id, self.map_index, self.scope)


@dataclass(slots=True, kw_only=True)
class Full:
    """What has no room left, so that a look at what is ready passes it by instead of stopping at it.

    :param pools: pools, with the slots that they have left; tasks that ask for more are left out.
    :param runs: runs at their ``max_active_tasks``, or that cannot be worked on.
    :param open_executors: when given, tasks of other executors are left out; an empty name stands for the default.
    :param queues: executor, empty for the default, and queue: to whose workers nothing more is offered.
    :param dag_tasks: ``(dag id, task id)``, with how many instances run; left out where the limit is not above that.
    :param run_tasks: the same by ``(row id of the run, task id)``.
    :param asks: what tasks ask for in vain: executor, queue and the text of the resources.
    """

    pools: dict[str, int] = field(default_factory=dict)
    runs: set[int] = field(default_factory=set)
    open_executors: frozenset[str] | None = None
    queues: frozenset[tuple[str, str]] = frozenset()
    dag_tasks: dict[tuple[str, str], int] = field(default_factory=dict)
    run_tasks: dict[tuple[int, str], int] = field(default_factory=dict)
    asks: Collection[AskKey] = ()


_TASK_COLUMNS = (
    "id",
    "dag_run_id",
    "lane",
    "priority",
    "task_id",
    "scope",
    "map_index",
    "pool",
    "pool_slots",
    "executor",
    "queue",
    "resources",
    "max_active_per_dag",
    "max_active_per_run",
)


def _may_go(task: FromClause) -> Select[Any]:
    """The row that is there if the run of ``task`` goes on and its DAG is not paused.

    What only the run and its DAG know is looked up for each task, not joined: a planner that takes scheduled tasks for
    rare, as they mostly are, would walk through all of them once for each run. OFFSET keeps it from making it a join.
    """
    its_run = select(1).join(dag, dag.c.dag_id == dag_run.c.dag_id).where(dag_run.c.id == task.c.dag_run_id)
    # Where hardly any run goes, the index of those that do looks as good as the primary key; coalesce() rules it out.
    return its_run.where(func.coalesce(dag_run.c.state, "") == lit(RunState.RUNNING), ~dag.c.is_paused).offset(0)


_LATER = task_instance.alias("later")
_IS_FOLLOWED = select(1).where(
    _LATER.c.state == lit(TaskState.SCHEDULED),
    _LATER.c.lane == task_instance.c.lane,
    _LATER.c.priority == task_instance.c.priority,
    _LATER.c.dag_run_id > task_instance.c.dag_run_id,
)
_IN_ORDER = (
    select(
        *(task_instance.c[name] for name in _TASK_COLUMNS),
        *(
            select(dag_run.c[name]).where(dag_run.c.id == task_instance.c.dag_run_id).scalar_subquery().label(name)
            for name in ("dag_id", "max_active_tasks")
        ),
        _IS_FOLLOWED.exists().label("is_followed"),
    )
    .where(task_instance.c.state == lit(TaskState.SCHEDULED))
    .order_by(task_instance.c.lane, task_instance.c.priority.desc(), task_instance.c.dag_run_id, task_instance.c.id)
    .limit(bindparam("most", type_=Integer))
)


def ready_tasks(connection: Connection, *, limit: int, full: Full | None = None) -> list[ReadyTask]:
    """The task instances that could be admitted next: live ones before backfills, by priority and the age of runs.

    They are read without a lock, and each has room in what ``full`` says of its limits.
    """
    return _read(connection, _READY if full is None else _ready(full), most=limit)


def ready_tasks_after(
    connection: Connection, level: Level, dag_run_id: int, *, limit: int, full: Full | None = None
) -> list[ReadyTask]:
    """Those of one level in the runs after a run."""
    statement = _READY_AFTER if full is None else _ready_after(full)
    return _read(connection, statement, most=limit, dag_run_id=dag_run_id, lane=level[0], priority=level[1])


def asking_tasks(connection: Connection, executors: Collection[str], full: Full, *, limit: int) -> list[ReadyTask]:
    """Those that ask for resources of these executors, the most urgent first, then the oldest.

    :param executors: an empty name stands for the default.
    """
    asking = task_instance.c.resources.is_not(None), task_instance.c.executor.in_(sorted(executors))
    return _read(connection, _ready(full).where(*asking), most=limit)


def _read(connection: Connection, statement: Select[Any], **values: int) -> list[ReadyTask]:
    return [ReadyTask(**row._mapping) for row in connection.execute(statement, values)]


def count_before(connection: Connection, level: Level, dag_run_id: int, ident: int) -> int:
    """How many scheduled task instances go before one of this level and run, when the oldest run begins the turn."""
    task, (lane, priority) = task_instance.c, level
    more_urgent = or_(task.lane < lane, and_(task.lane == lane, task.priority > priority))
    ahead = select(func.count()).where(task.state == lit(TaskState.SCHEDULED), more_urgent)
    beside = (
        select(task.dag_run_id, func.count(), func.count().filter(task.id < ident))
        .where(task.state == lit(TaskState.SCHEDULED), task.lane == lane, task.priority == priority)
        .group_by(task.dag_run_id)
    )
    runs = {run: (every, earlier) for run, every, earlier in connection.execute(beside)}
    turn: int = runs.pop(dag_run_id, (0, 0))[1]
    others: int = sum(min(every, turn + (run < dag_run_id)) for run, (every, _) in runs.items())
    return int(connection.execute(ahead).scalar_one()) + turn + others


def _conditions(full: Full, table: FromClause) -> Iterator[ColumnElement[bool]]:
    task, may_go = table.c, _may_go(table)
    if full.runs:
        yield task.dag_run_id.not_in(sorted(full.runs))
    if full.open_executors is not None:
        yield task.executor.in_(sorted(full.open_executors))
    if full.queues:
        yield tuple_(task.executor, task.queue).not_in(sorted(full.queues))
    if full.asks:
        in_vain = tuple_(task.executor, task.queue, task.resources).in_(sorted(full.asks))
        yield or_(task.resources.is_(None), ~in_vain)
    for left, names in _by_value(full.pools):
        yield or_(task.pool_slots <= left, task.pool.not_in(names))
    for used, in_runs in _by_value(full.run_tasks):
        yield _below(task.max_active_per_run, used, tuple_(task.dag_run_id, task.task_id), in_runs)
    for used, pairs in _by_value(full.dag_tasks):
        may_go = may_go.where(_below(task.max_active_per_dag, used, tuple_(dag_run.c.dag_id, task.task_id), pairs))
    yield may_go.exists()


def _below(limit: ColumnElement[Any], used: int, name: Any, pairs: list[Any]) -> ColumnElement[bool]:
    return or_(limit.is_(None), limit > used, name.not_in(pairs))


def _by_value(values: Mapping[K, int]) -> Iterator[tuple[int, list[K]]]:
    groups: dict[int, list[K]] = defaultdict(list)
    for key in sorted(values, key=repr):
        groups[values[key]].append(key)
    yield from sorted(groups.items())


def _ready(full: Full) -> Select[Any]:
    return _IN_ORDER.where(*_conditions(full, task_instance))


def _ready_after(full: Full) -> Select[Any]:
    return _ready(full).where(
        task_instance.c.lane == bindparam("lane", type_=Integer),
        task_instance.c.priority == bindparam("priority", type_=Integer),
        task_instance.c.dag_run_id > bindparam("dag_run_id", type_=Key),
    )


_READY, _READY_AFTER = _ready(Full()), _ready_after(Full())
