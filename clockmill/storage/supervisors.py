"""Supervisors as the database knows them, and the epoch that decides which scheduler controls one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update

from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.tables import attempt, counter, supervisor
from clockmill.storage.upsert import insert_missing


def next_epoch(connection: Connection) -> int:
    """A number higher than any given out before, also when several ask for the first one at once."""
    connection.execute(insert_missing(connection, counter).values(name="epoch", value=0))
    raised = update(counter).where(counter.c.name == "epoch").values(value=counter.c.value + 1)
    return int(connection.execute(raised.returning(counter.c.value)).scalar_one())


def register(
    connection: Connection,
    *,
    ident: str,
    executor: str,
    host: str,
    boot_id: str,
    pid: int,
    slots: int,
    resources: Mapping[str, float] | None = None,
    epoch: int,
    now: datetime,
) -> None:
    """Note that a supervisor is alive and controlled under ``epoch``."""
    offered = None if resources is None else dict(resources)
    told = {"epoch": epoch, "slots": slots, "resources": offered, "is_alive": True}
    again = update(supervisor).where(supervisor.c.id == ident).values(**told)
    if connection.execute(again).rowcount == 0:
        connection.execute(
            insert(supervisor).values(
                id=ident,
                executor=executor,
                host=host,
                boot_id=boot_id,
                pid=pid,
                slots=slots,
                resources=offered,
                epoch=epoch,
                started_at=now,
            )
        )


def bury(connection: Connection, ident: str) -> None:
    """Note that a supervisor is dead."""
    connection.execute(update(supervisor).where(supervisor.c.id == ident).values(is_alive=False))


_BEAT = (
    update(supervisor)
    .where(supervisor.c.id.in_(bindparam("ids", expanding=True)))
    .values(beat=supervisor.c.beat + 1, seen_at=bindparam("now", type_=supervisor.c.seen_at.type))
    .returning(supervisor.c.id, supervisor.c.is_alive, supervisor.c.lease)
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a scheduler finds of a supervisor that it has just beaten for.

    :param is_alive: False when it was given up.
    :param lease: how long its beat may stand still before it is, in seconds; None for ever.
    """

    is_alive: bool
    lease: float | None


def beat_for(connection: Connection, ids: Collection[str], now: datetime) -> dict[str, Standing]:
    """Say of supervisors that they are heard of, and hold their rows; those that are not known are left out."""
    rows = connection.execute(_BEAT, {"ids": sorted(ids), "now": now})
    return {row.id: Standing(row.is_alive, row.lease) for row in rows}


def set_lease(connection: Connection, ids: Collection[str], seconds: float) -> None:
    """Note how long the beat of supervisors may stand still."""
    connection.execute(update(supervisor).where(supervisor.c.id.in_(sorted(ids))).values(lease=seconds))


def revive(connection: Connection, ids: Collection[str]) -> None:
    """Note that supervisors which were given up are there, and hold nothing."""
    connection.execute(update(supervisor).where(supervisor.c.id.in_(sorted(ids))).values(is_alive=True))


def bury_silent(connection: Connection, ident: str, beat: int) -> bool:
    """Note that a supervisor is dead, unless it has beaten since; whether it is."""
    silent = (supervisor.c.id == ident, supervisor.c.beat == beat, supervisor.c.is_alive)
    return connection.execute(update(supervisor).where(*silent).values(is_alive=False)).rowcount == 1


def with_live_attempts(connection: Connection, executor: str, host: str) -> list[str]:
    """Ids of the supervisors of an executor on one host that hold live attempts, dead or alive."""
    holds = select(attempt.c.id).where(LIVE_ATTEMPT, attempt.c.supervisor_id == supervisor.c.id).exists()
    statement = select(supervisor.c.id).where(supervisor.c.executor == executor, supervisor.c.host == host, holds)
    return [row.id for row in connection.execute(statement.order_by(supervisor.c.id))]


def slots_of(connection: Connection, executor: str = "") -> tuple[int, int]:
    """The slots of all living supervisors, and how many live attempts hold one.

    :param executor: count those of this executor alone.
    """
    slots = select(func.coalesce(func.sum(supervisor.c.slots), 0)).where(supervisor.c.is_alive)
    busy = select(func.count()).where(LIVE_ATTEMPT, attempt.c.supervisor_id.is_not(None))
    if executor:
        slots, busy = slots.where(supervisor.c.executor == executor), busy.where(attempt.c.executor == executor)
    return int(connection.execute(slots).scalar_one()), int(connection.execute(busy).scalar_one())
