"""The last complete loop of each service, for ``/health``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, delete, inspect, select

from clockmill.host.locks import LifeLock
from clockmill.host.processes import host_name
from clockmill.storage.tables import component
from clockmill.storage.upsert import upsert

#: The services without which nothing works.
ALWAYS_THERE = ("scheduler", "dag-processor")
#: A service may miss so many loops, and be late by so many seconds more, before it counts as stopped.
_LOOPS_MISSED = 3
_SECONDS_LATE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentRow:
    """One service that says it is alive.

    :param period_seconds: how often it says so.
    """

    name: str
    instance: str
    host: str
    pid: int
    last_loop: datetime
    period_seconds: float

    def is_recent(self, now: datetime) -> bool:
        """Whether it said so lately enough to count as running."""
        return now - self.last_loop <= timedelta(seconds=_LOOPS_MISSED * self.period_seconds + _SECONDS_LATE)


def beat(connection: Connection, name: str, instance: str, now: datetime, *, period_seconds: float) -> None:
    """Note that a service of this process completed a loop."""
    values = {
        "name": name,
        "instance": instance,
        "host": host_name(),
        "pid": os.getpid(),
        "last_loop": now,
        "period_seconds": period_seconds,
    }
    upsert(connection, component, values)


def leave(connection: Connection, name: str, instance: str) -> None:
    """Forget a service that ended in good order."""
    connection.execute(delete(component).where(component.c.name == name, component.c.instance == instance))


def forget_dead(connection: Connection, name: str, folder: Path) -> list[LifeLock]:
    """Forget the services of that name that were killed on this home, because another one takes their place.

    :param folder: where each holds a lock by the name of its instance. One that has none there is of another home, and
        nobody knows what became of it.
    :returns: their locks, which may be removed after the commit.
    """
    locks = {
        each.instance: LifeLock(folder, each.instance) for each in list_components(connection) if each.name == name
    }
    dead = {instance: lock for instance, lock in locks.items() if lock.is_dead()}
    for instance in dead:
        leave(connection, name, instance)
    return list(dead.values())


def forget_silent(connection: Connection, before: datetime) -> None:
    """Forget services that were last heard of before a moment."""
    connection.execute(delete(component).where(component.c.last_loop < before))


def list_components(connection: Connection) -> list[ComponentRow]:
    """Every service that has not left, by name."""
    statement = select(component).order_by(component.c.name, component.c.instance)
    return [ComponentRow(**row._mapping) for row in connection.execute(statement)]


def has_others(connection: Connection, name: str, instance: str, now: datetime) -> bool:
    """Whether other services of that name say that they are alive."""
    return any(
        each.name == name and each.instance != instance and each.is_recent(now) for each in list_components(connection)
    )


def at_work(connection: Connection, now: datetime) -> list[ComponentRow]:
    """The services that use the database, whatever its schema is; none when it has no tables."""
    if not inspect(connection).has_table(component.name):
        return []
    return [each for each in list_components(connection) if each.is_recent(now)]
