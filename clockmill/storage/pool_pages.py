"""What the pages of pools read: what holds slots, and what waits for some. Bounded by what is live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from clockmill.state import AttemptState, TaskState
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.pools import PoolUsage, list_pools
from clockmill.storage.tables import attempt, lit, task_instance, task_trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLine:
    """A pool and its slots, by what has them or wants them.

    :param running: slots of attempts that run.
    :param queued: slots of attempts that an executor has not begun yet; they are held as well.
    :param deferred: slots of tasks that wait for a trigger; held only when the pool includes them.
    :param waiting: slots that tasks which could run now are waiting for, here or elsewhere.
    """

    usage: PoolUsage
    running: int
    queued: int
    deferred: int
    waiting: int


_LIVE = (
    select(attempt.c.pool, attempt.c.state, func.sum(attempt.c.pool_slots))
    .where(LIVE_ATTEMPT)
    .group_by(attempt.c.pool, attempt.c.state)
)
# All of that table: it holds what waits now, and no history.
_DEFERRED = select(task_trigger.c.pool, func.sum(task_trigger.c.pool_slots)).group_by(task_trigger.c.pool)
_READY = (
    select(task_instance.c.pool, func.sum(task_instance.c.pool_slots))
    .where(task_instance.c.state == lit(TaskState.SCHEDULED))
    .group_by(task_instance.c.pool)
)


def pool_lines(connection: Connection) -> list[PoolLine]:
    """Every pool by name."""
    queued: dict[str, int] = {}
    running: dict[str, int] = {}
    for name, state, slots in connection.execute(_LIVE):
        kind = queued if state == AttemptState.QUEUED else running
        kind[name] = kind.get(name, 0) + int(slots)
    deferred, waiting = _by_pool(connection, _DEFERRED), _by_pool(connection, _READY)
    return [
        PoolLine(
            usage=usage,
            running=running.get(usage.name, 0),
            queued=queued.get(usage.name, 0),
            deferred=deferred.get(usage.name, 0),
            waiting=waiting.get(usage.name, 0),
        )
        for usage in list_pools(connection)
    ]


def _by_pool(connection: Connection, statement: Select[Any]) -> dict[str, int]:
    return {name: int(slots) for name, slots in connection.execute(statement)}
