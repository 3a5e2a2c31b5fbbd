"""Pools that tasks name and nobody made: such tasks never start."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable

from clockmill.errors import did_you_mean
from clockmill.serde import Document
from clockmill.storage.engine import Connection
from clockmill.storage.pools import pool_names

_NAMED = 3


def missing_pools(connection: Connection, document: Document) -> list[str]:
    """A sentence or two for each pool that the tasks of a DAG name and that does not exist, by its name."""
    users: dict[str, list[str]] = defaultdict(list)
    for task in document.tasks:
        users[task.pool].append(task.task_id)
    known = pool_names(connection)
    return [
        f"The pool {name!r} does not exist, so {_tasks(users[name])}.{way_out(name, known)}"
        for name in sorted(users.keys() - known)
    ]


def way_out(name: str, known: Iterable[str]) -> str:
    """What to do about a pool that does not exist, with a leading blank: the nearest name, and how to make it."""
    return f"{did_you_mean(name, known)} 'clockmill pools set {shlex.quote(name)} SLOTS' makes it."


def _tasks(task_ids: list[str]) -> str:
    if len(task_ids) == 1:
        return f"the task {task_ids[0]!r} waits for ever"
    names = ", ".join(map(repr, task_ids[:_NAMED]))
    more = len(task_ids) - _NAMED
    return f"the tasks {names}{f' and {more:,} more' if more > 0 else ''} wait for ever"
