"""Which instance of a service works, where several must not: the others stand by.

A leader raises its beat, also with everything that it writes; so one that was taken for dead and is not finds out
before it can do harm. Who stands by decides by itself how long a beat may stand still: no clocks are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select, update

from clockmill.storage.tables import leader
from clockmill.storage.upsert import insert_missing

_L = leader.c


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, and the number of its last beat."""

    instance: str
    beat: int


_FIND = select(_L.instance, _L.beat).where(_L.name == bindparam("service"))
_LEAD = (
    update(leader).where(_L.name == bindparam("service"), _L.instance == bindparam("me")).values(beat=leader.c.beat + 1)
)


def find_leader(connection: Connection, name: str) -> Leader | None:
    """Who leads the services of that name, or None when nobody does."""
    row = connection.execute(_FIND, {"service": name}).one_or_none()
    return row and Leader(row.instance, row.beat)


def lead(connection: Connection, name: str, instance: str) -> bool:
    """Beat once more; whether this one still leads, which it does then until the end of the transaction."""
    return connection.execute(_LEAD, {"service": name, "me": instance}).rowcount == 1


def take_lead(connection: Connection, name: str, instance: str, before: Leader | None) -> bool:
    """Lead from now on; whether nobody was faster.

    :param before: who led, as it was read, and has not beaten since; None when nobody did.
    """
    if before is None:
        new = insert_missing(connection, leader).values(name=name, instance=instance, beat=1)
        return connection.execute(new.returning(_L.name)).one_or_none() is not None
    same = (_L.name == name, _L.instance == before.instance, _L.beat == before.beat)
    return connection.execute(update(leader).where(*same).values(instance=instance, beat=before.beat + 1)).rowcount == 1


def resign(connection: Connection, name: str, instance: str) -> None:
    """Leave the lead to whoever comes first."""
    connection.execute(delete(leader).where(_L.name == name, _L.instance == instance))
