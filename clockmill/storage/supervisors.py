"""Supervisors as the database knows them, and the epoch that decides which scheduler controls one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.tables import attempt, counter, supervisor


def next_epoch(connection: Connection) -> int:
    """A number higher than any given out before."""
    raised = update(counter).where(counter.c.name == "epoch").values(value=counter.c.value + 1)
    value = connection.execute(raised.returning(counter.c.value)).scalar_one_or_none()
    if value is None:
        connection.execute(insert(counter).values(name="epoch", value=1))
        return 1
    return int(value)


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
