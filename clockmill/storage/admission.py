"""Candidates for admission: task instances whose dependencies are met, most urgent first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, Integer, bindparam, select

from clockmill.state import RunState, TaskKey, TaskState
from clockmill.storage.tables import dag, dag_run, lit, task_instance


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyTask:
    """A scheduled task instance with what it would claim."""

    id: int
    dag_run_id: int
    task_id: str
    map_index: int
    scope: str
    pool: str
    pool_slots: int
    executor: str
    max_active_tasks: int

    @property
    def key(self) -> TaskKey:
        """What tells it from the other task instances of its run."""
        return TaskKey(self.task_id, self.map_index, self.scope)


_TASK_COLUMNS = ("id", "dag_run_id", "task_id", "map_index", "scope", "pool", "pool_slots", "executor")
_READY = (
    select(
        *(task_instance.c[n] for n in _TASK_COLUMNS),
        dag_run.c.max_active_tasks,
    )
    .join(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
    .join(dag, dag.c.dag_id == dag_run.c.dag_id)
    .where(
        task_instance.c.state == lit(TaskState.SCHEDULED),
        dag_run.c.state == lit(RunState.RUNNING),
        ~dag.c.is_paused,
    )
    .order_by(task_instance.c.lane, task_instance.c.priority.desc(), task_instance.c.id)
    .limit(bindparam("most", type_=Integer))
)


def ready_tasks(
    connection: Connection,
    *,
    limit: int,
    full_pools: Collection[str] = (),
    full_runs: Collection[int] = (),
) -> list[ReadyTask]:
    """The task instances that could be admitted next, by priority and age, read without a lock.

    :param full_pools: pools without a free slot; their tasks are left out, so that they hide nobody behind them.
    :param full_runs: runs at their ``max_active_tasks``, left out for the same reason.
    """
    statement = _READY
    if full_pools:
        statement = statement.where(task_instance.c.pool.not_in(sorted(full_pools)))
    if full_runs:
        statement = statement.where(task_instance.c.dag_run_id.not_in(sorted(full_runs)))
    return [ReadyTask(**row._mapping) for row in connection.execute(statement, {"most": limit})]
