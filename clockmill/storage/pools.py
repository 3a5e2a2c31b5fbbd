"""Pools: how many tasks of a kind may run at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from clockmill.credentials.fields import check_name, check_text
from clockmill.errors import NotFound, UsageError
from clockmill.events import Event, EventKind
from clockmill.storage import events
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.rows import values_of
from clockmill.storage.tables import attempt, dag_run, pool, task_instance, task_trigger
from clockmill.storage.triggers import deferred_usage
from clockmill.storage.upsert import upsert

_LOCK_POOLS = select(pool.c.name, pool.c.slots, pool.c.include_deferred).order_by(pool.c.name).with_for_update()
#: Made by the first migration; tasks go there that name no pool.
DEFAULT_POOL = "default_pool"
MAX_SLOTS = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool as a person sets it.

    :param slots: how many slots its tasks share; 0 holds all of them back.
    :raises UsageError: when the name or the number cannot be one.
    """

    name: str
    slots: int
    description: str = ""
    include_deferred: bool = False

    def __post_init__(self) -> None:
        check_name("pool", self.name)
        check_text(f"description of the pool {self.name!r}", self.description)
        if not 0 <= self.slots <= MAX_SLOTS:
            raise UsageError(f"The pool {self.name!r} must have from 0 to {MAX_SLOTS} slots, not {self.slots}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUsage:
    """A pool and what of it is in use.

    :param used: slots that live attempts hold, and deferred tasks where the pool includes them; above ``slots`` while
        a pool that was made smaller empties.
    """

    name: str
    slots: int
    used: int
    description: str
    include_deferred: bool

    @property
    def open(self) -> int:
        """Slots that are free."""
        return max(self.slots - self.used, 0)


def set_pools(connection: Connection, pools: Iterable[Pool], *, at: datetime, actor: str) -> None:
    """Make pools, or change those that exist; a pool that is made smaller empties by and by."""
    for each in pools:
        upsert(connection, pool, values_of(each))
        detail = {"slots": each.slots, "include_deferred": each.include_deferred}
        events.append(connection, [_changed(each.name, at, actor, detail)])


def get_pool(connection: Connection, name: str) -> PoolUsage:
    """One pool with its usage.

    :raises NotFound: when there is none with that name.
    """
    found = [each for each in list_pools(connection) if each.name == name]
    if not found:
        raise NotFound("pool", name, pool_names(connection))
    return found[0]


def pool_names(connection: Connection) -> set[str]:
    """The names of all pools."""
    return set(connection.scalars(select(pool.c.name)))


def list_pools(connection: Connection) -> list[PoolUsage]:
    """Every pool by name, with its usage counted from live attempts and waiting triggers."""
    used = Counter({name: int(slots) for name, slots in connection.execute(_usage())})
    used.update(deferred_usage(connection))
    rows = connection.execute(select(pool).order_by(pool.c.name))
    return [
        PoolUsage(
            name=row.name,
            slots=row.slots,
            used=used[row.name],
            description=row.description,
            include_deferred=row.include_deferred,
        )
        for row in rows
    ]


def delete_pool(connection: Connection, name: str, *, at: datetime, actor: str) -> None:
    """Delete a pool; its tasks wait until there is one of that name again.

    :raises NotFound: when there is none with that name.
    :raises UsageError: for the default pool.
    """
    if name == DEFAULT_POOL:
        raise UsageError(f"The pool {DEFAULT_POOL!r} cannot be deleted; set its slots instead.")
    if connection.execute(delete(pool).where(pool.c.name == name)).rowcount == 0:
        raise NotFound("pool", name, pool_names(connection))
    events.append(connection, [_changed(name, at, actor, {"deleted": True})])


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimit:
    """How much of a pool there is."""

    slots: int
    include_deferred: bool


def lock_pools(connection: Connection) -> dict[str, PoolLimit]:
    """Hold every pool in the order of names, so that nobody else admits; returns how much there is of each.

    All admission goes through these rows, so they serialise the limits that have no row of their own as well.
    """
    return {
        row.name: PoolLimit(slots=row.slots, include_deferred=row.include_deferred)
        for row in connection.execute(_LOCK_POOLS)
    }


def deferred_holders(connection: Connection, name: str, *, limit: int = 20) -> list[dict[str, Any]]:
    """The deferred tasks of a pool, oldest first, as :func:`clockmill.storage.attempts.live_holders` tells them."""
    statement = (
        select(
            dag_run.c.dag_id,
            dag_run.c.run_id,
            task_instance.c.task_id,
            task_instance.c.map_index,
            task_trigger.c.pool_slots,
            task_trigger.c.created_at.label("since"),
        )
        .join(task_instance, task_instance.c.id == task_trigger.c.task_instance_id)
        .join(dag_run, dag_run.c.id == task_trigger.c.dag_run_id)
        .where(task_trigger.c.pool == name)
        .order_by(task_trigger.c.id)
        .limit(limit)
    )
    return [dict(row._mapping) for row in connection.execute(statement)]


def _usage() -> Any:
    return select(attempt.c.pool, func.sum(attempt.c.pool_slots)).where(LIVE_ATTEMPT).group_by(attempt.c.pool)


def _changed(name: str, at: datetime, actor: str, detail: dict[str, Any]) -> Event:
    return Event(kind=EventKind.POOL_CHANGED, at=at, actor=actor, detail={"pool": name, **detail})
