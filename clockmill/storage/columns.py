"""What the tables of the metadata database are made of: the metadata, instants, keys, conditions of partial indexes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Dialect,
    Integer,
    MetaData,
    String,
    literal_column,
    text,
)
from sqlalchemy.types import TypeDecorator

from clockmill.state import LIVE_ATTEMPT_STATES

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware instant, kept as microseconds since 1970 in UTC: it sorts, it is exact, both databases agree on it."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """Microseconds between 1970 and ``moment``.

    :raises ValueError: when ``moment`` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    gap = moment - _EPOCH
    return (gap.days * 86400 + gap.seconds) * 1_000_000 + gap.microseconds


def from_micros(value: int) -> datetime:
    """The instant ``value`` microseconds after 1970."""
    seconds, micros = divmod(value, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


#: 64 bits on PostgreSQL; on SQLite only INTEGER PRIMARY KEY counts up by itself.
Key = BigInteger().with_variant(Integer, "sqlite")


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    names = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({names})", name=f"{column}_known")


def key() -> Column[int]:
    return Column("id", Key, primary_key=True, autoincrement=True)


def where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def lit(value: str) -> ColumnElement[str]:
    """A constant of ours, spelled out in the statement: the planner of neither database matches a bound parameter
    with the condition of a partial index."""
    return literal_column(f"'{value}'", String)


#: The live states of an attempt, as SQL spells them.
LIVE = ", ".join(f"'{state}'" for state in sorted(LIVE_ATTEMPT_STATES))
