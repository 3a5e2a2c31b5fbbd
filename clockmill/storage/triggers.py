"""What deferred tasks wait for. A row is made when a task defers and goes when it goes on, or is not deferred any more.

A row is one of two things: waiting, claimed by the triggerer that it names or by nobody yet; or fired, for good.
A triggerer writes nothing else of the database, and only rows that are still its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from clockmill.protocols import TRIGGER_TIMEOUT
from clockmill.storage.batches import Columns, chunks, update_rows
from clockmill.storage.rows import columns_of, values_of
from clockmill.storage.tables import Instant, dag_run, pool, task_instance, task_trigger

_T = task_trigger.c
_WAITS = _T.fired_at.is_(None)


# --- the scheduler ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrigger:
    """What a task is to wait for; see the table ``task_trigger``."""

    task_instance_id: int
    dag_run_id: int
    class_path: str
    kwargs: str
    bundle: str
    file: str
    pool: str
    pool_slots: int
    created_at: datetime
    timeout_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """How the waiting of a task ended.

    :param event: JSON text, when it ended well.
    :param error: why not, otherwise.
    """

    task_instance_id: int
    dag_run_id: int
    event: str | None
    error: str | None


def insert_triggers(connection: Connection, triggers: Sequence[NewTrigger]) -> None:
    """Let tasks wait."""
    if triggers:
        connection.execute(insert(task_trigger), [values_of(trigger) for trigger in triggers])


_DROP = delete(task_trigger).where(_T.task_instance_id.in_(bindparam("ids", expanding=True)))


def drop_triggers(connection: Connection, task_instance_ids: Collection[int]) -> None:
    """Let task instances wait no more; their triggers are cleaned up where they run."""
    for ids in chunks(task_instance_ids):
        connection.execute(_DROP, {"ids": ids})


_RUNS_FIRED = (
    select(_T.dag_run_id)
    .where(_T.fired_at.is_not(None))
    .group_by(_T.dag_run_id)
    .limit(bindparam("most", type_=Integer))
)
_IS_LATE = and_(_WAITS, _T.timeout_at.is_not(None), _T.timeout_at <= bindparam("now", type_=Instant))
_RUNS_LATE = select(_T.dag_run_id).where(_IS_LATE).group_by(_T.dag_run_id).limit(bindparam("most", type_=Integer))
_OVER = (
    select(_T.task_instance_id, _T.dag_run_id, _T.event, _T.error, _T.fired_at)
    .where(_T.dag_run_id.in_(bindparam("runs", expanding=True)), or_(_T.fired_at.is_not(None), _IS_LATE))
    .order_by(_T.id)
    .with_for_update()
)


def runs_with_fired(connection: Connection, limit: int) -> list[int]:
    """Runs in which a trigger has fired, by id."""
    return sorted(row[0] for row in connection.execute(_RUNS_FIRED, {"most": limit}))


def runs_with_late(connection: Connection, now: datetime, limit: int) -> list[int]:
    """Runs in which a trigger has not fired in time, by id."""
    return sorted(row[0] for row in connection.execute(_RUNS_LATE, {"now": now, "most": limit}))


def take_over(connection: Connection, dag_run_ids: Collection[int], now: datetime) -> list[Firing]:
    """The triggers of runs that have fired or are late; they cannot change any more in this transaction.

    The caller holds the runs, and drops the rows.
    """
    rows = connection.execute(_OVER, {"runs": sorted(dag_run_ids), "now": now})
    return [
        Firing(task_instance_id=row[0], dag_run_id=row[1], event=row[2], error=row[3])
        if row[4] is not None
        else Firing(task_instance_id=row[0], dag_run_id=row[1], event=None, error=TRIGGER_TIMEOUT)
        for row in rows
    ]


_COUNTING_POOLS = select(pool.c.name).where(pool.c.include_deferred)
_DEFERRED_USAGE = (
    select(_T.pool, func.sum(_T.pool_slots)).where(_T.pool.in_(bindparam("pools", expanding=True))).group_by(_T.pool)
)


def deferred_usage(connection: Connection) -> dict[str, int]:
    """The slots that deferred tasks take of the pools that count them, by pool."""
    # In two steps, because most of the time no pool does, and then nobody has to walk through what waits.
    pools = list(connection.execute(_COUNTING_POOLS).scalars())
    if not pools:
        return {}
    return {row[0]: int(row[1]) for row in connection.execute(_DEFERRED_USAGE, {"pools": pools})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What a deferred task waits for, for people."""

    class_path: str
    kwargs: str
    created_at: datetime
    timeout_at: datetime | None
    triggerer: str | None
    fired_at: datetime | None


def find_wait(connection: Connection, task_instance_id: int) -> Wait | None:
    """What a task instance waits for, or None when it waits for nothing."""
    statement = select(*columns_of(Wait, task_trigger)).where(_T.task_instance_id == task_instance_id)
    row = connection.execute(statement).first()
    return None if row is None else Wait(**row._mapping)


_ANY = select(_T.id).where(_WAITS).limit(1)


def anything_waits(connection: Connection) -> bool:
    """Whether there is work for a triggerer."""
    return connection.execute(_ANY).first() is not None


# --- the triggerer ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTrigger:
    """A trigger to be run.

    :param bundle: the content hash of the bundle that the author's own classes come from.
    :param file: the DAG file in it.
    :param name: for people: ``DAG/RUN/TASK``, with the map index when there is one.
    """

    id: int
    class_path: str
    kwargs: str
    bundle: str
    file: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """What came of a trigger: an event as JSON text, or an error whose first line says it all."""

    id: int
    event: str | None = None
    error: str | None = None


_FREE = and_(_WAITS, _T.triggerer.is_(None))
_FIRST_FREE = (
    select(_T.id).where(_FREE).order_by(_T.id).limit(bindparam("most", type_=Integer)).with_for_update(skip_locked=True)
)
_CLAIM = (
    update(task_trigger).where(_T.id.in_(bindparam("ids", expanding=True)), _FREE).values(triggerer=bindparam("me"))
)
_DESCRIBED = (
    select(
        _T.id,
        _T.class_path,
        _T.kwargs,
        _T.bundle,
        _T.file,
        dag_run.c.dag_id,
        dag_run.c.run_id,
        task_instance.c.task_id,
        task_instance.c.map_index,
    )
    .join(dag_run, dag_run.c.id == _T.dag_run_id)
    .join(task_instance, task_instance.c.id == _T.task_instance_id)
    .where(_T.id.in_(bindparam("ids", expanding=True)))
    .order_by(_T.id)
)


def claim_triggers(connection: Connection, triggerer: str, most: int) -> list[WaitingTrigger]:
    """Take triggers that nobody runs, the oldest first."""
    # As one statement, PostgreSQL may look for the free ones more than once, and take more than that.
    ids = list(connection.execute(_FIRST_FREE, {"most": most}).scalars())
    if ids:
        connection.execute(_CLAIM, {"me": triggerer, "ids": ids})
    return describe(connection, ids)


def describe(connection: Connection, ids: Collection[int]) -> list[WaitingTrigger]:
    """What is needed to run these triggers."""
    return [_waiting(row) for row in connection.execute(_DESCRIBED, {"ids": sorted(ids)})] if ids else []


def _waiting(row: Any) -> WaitingTrigger:
    index = "" if row.map_index < 0 else f"[{row.map_index}]"
    return WaitingTrigger(
        id=row.id,
        class_path=row.class_path,
        kwargs=row.kwargs,
        bundle=row.bundle,
        file=row.file,
        name=f"{row.dag_id}/{row.run_id}/{row.task_id}{index}",
    )


_HELD = select(_T.id).where(_WAITS, _T.triggerer == bindparam("me"))
_HOLDERS = select(_T.triggerer).where(_WAITS, _T.triggerer.is_not(None)).distinct()
_HAND_BACK = update(task_trigger).where(_WAITS, _T.triggerer == bindparam("whose")).values(triggerer=None)

_COUNT_CRASH = (
    update(task_trigger).where(_WAITS, _T.id == bindparam("ident")).values(crashes=_T.crashes + 1).returning(_T.crashes)
)


def held_by(connection: Connection, triggerer: str) -> set[int]:
    """The triggers that a triggerer should be running."""
    return set(connection.execute(_HELD, {"me": triggerer}).scalars())


def holders(connection: Connection) -> set[str]:
    """The triggerers that should be running some."""
    return set(connection.execute(_HOLDERS).scalars())


def count_crash(connection: Connection, ident: int) -> int:
    """Note that a triggerer died in the midst of the code of a trigger; how often that was, 0 when it is gone."""
    crashes: int | None = connection.execute(_COUNT_CRASH, {"ident": ident}).scalar_one_or_none()
    return crashes or 0


def hand_back(connection: Connection, triggerer: str) -> int:
    """Let others take what a triggerer runs, or ran when it died; how many that were."""
    return connection.execute(_HAND_BACK, {"whose": triggerer}).rowcount


_FIRE_COLUMNS: Columns = (
    ("id", "bigint"),
    ("triggerer", "text"),
    ("fired_at", "bigint"),
    ("event", "text"),
    ("error", "text"),
)


def fire(connection: Connection, triggerer: str, fired: Sequence[Fired], now: datetime) -> set[int]:
    """Write what came of triggers; the ids that were written, each exactly once ever.

    One that is missing is gone, fired already, or somebody else's by now.
    """
    rows = [{**values_of(one), "triggerer": triggerer, "fired_at": now} for one in fired]
    condition = "task_trigger.fired_at IS NULL AND task_trigger.triggerer = v.triggerer"
    return update_rows(connection, "task_trigger", _FIRE_COLUMNS, ("fired_at", "event", "error"), condition, rows)
