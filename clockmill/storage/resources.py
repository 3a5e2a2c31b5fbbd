"""What supervisors and workers offer besides slots, and what live attempts have asked for of it: facts, no counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from clockmill.state.packing import Ask, Place
from clockmill.state.resources import from_text, plus
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.tables import attempt, dag_run, offer, supervisor, task_instance

_S, _A, _O = supervisor.c, attempt.c, offer.c


@dataclass(frozen=True, slots=True)
class Source:
    """Somebody who takes work, and what is free there.

    :param place: its offer and what is used of it. Supervisors of one executor on one host share what the host has; a
        worker has what it says for itself.
    """

    id: str
    executor: str
    host: str
    place: Place


_ALL_SOURCES = (
    select(_S.id, _S.executor, _S.host, _S.resources, _S.queues).where(_S.is_alive, ~_S.is_draining).order_by(_S.id)
)
_SOURCES = _ALL_SOURCES.where(_S.executor.in_(bindparam("executors", expanding=True)))
_TAKEN = (
    select(_A.resources, _A.supervisor_id, _S.executor, _S.host)
    .join(supervisor, _S.id == _A.supervisor_id)
    .where(LIVE_ATTEMPT, _A.resources.is_not(None))
)
_UNCLAIMED = (
    select(_O.attempt_id, _O.executor, _O.queue, _O.priority, _O.resources)
    .where(_O.offer_at.is_not(None), _O.resources.is_not(None), _O.executor.in_(bindparam("executors", expanding=True)))
    .order_by(_O.priority.desc(), _O.attempt_id)
)


def sources(connection: Connection, executors: Collection[str] | None) -> list[Source]:
    """Those that take work for these executors; for any when None."""
    by_id: dict[str, dict[str, float]] = defaultdict(dict)
    by_host: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for taken in connection.execute(_TAKEN):
        amounts = from_text(taken.resources)
        by_id[taken.supervisor_id] = plus(by_id[taken.supervisor_id], amounts)
        by_host[taken.executor, taken.host] = plus(by_host[taken.executor, taken.host], amounts)
    found = []
    rows = (
        connection.execute(_ALL_SOURCES)
        if executors is None
        else connection.execute(_SOURCES, {"executors": sorted(executors)})
    )
    for row in rows:
        used = by_id[row.id] if row.queues else by_host[row.executor, row.host]
        queues = frozenset(row.queues) if row.queues else None
        found.append(Source(row.id, row.executor, row.host, Place(offered=row.resources, used=used, queues=queues)))
    return found


def unclaimed_asks(connection: Connection, executors: Collection[str]) -> list[Ask]:
    """What is asked for by offers that no worker has claimed yet, the most urgent and oldest first."""
    rows = connection.execute(_UNCLAIMED, {"executors": sorted(executors)}) if executors else ()
    return [Ask(row.executor, row.queue, from_text(row.resources), (0, row.priority), row.attempt_id) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingHolder:
    """A task instance that has resources."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    resources: str
    since: datetime


_HOLDERS = (
    select(
        dag_run.c.dag_id,
        dag_run.c.run_id,
        task_instance.c.task_id,
        task_instance.c.map_index,
        _A.resources,
        _A.queued_at.label("since"),
    )
    .join(task_instance, task_instance.c.id == _A.task_instance_id)
    .join(dag_run, dag_run.c.id == _A.dag_run_id)
    .where(LIVE_ATTEMPT, _A.resources.is_not(None))
    .order_by(_A.queued_at, _A.id)
)


def asking_holders(
    connection: Connection, executor: str | None, workers: Collection[str] = (), *, limit: int
) -> list[AskingHolder]:
    """Those that have resources, oldest first.

    :param executor: of this one alone.
    :param workers: when there are any, of these alone.
    """
    statement = _HOLDERS if executor is None else _HOLDERS.where(_A.executor == executor)
    statement = statement.where(_A.supervisor_id.in_(sorted(workers))) if workers else statement
    return [AskingHolder(**row._mapping) for row in connection.execute(statement.limit(limit))]
