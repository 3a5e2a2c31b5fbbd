"""The tables through which work reaches supervisors: themselves, what is offered to them, what they report."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)

from clockmill.storage.columns import Instant, key, metadata, where

supervisor = Table(
    "supervisor",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("executor", String(250), nullable=False),
    Column("host", String(250), nullable=False),
    Column("boot_id", String(64), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # of the scheduler that controls it; 0 when none does
    Column("beat", BigInteger, nullable=False, server_default="0"),  # the number of its last beat
    Column("lease", Float),  # its tasks are over when its beat stood still for so many seconds; NULL when nobody knows
    Column("is_alive", Boolean, nullable=False, server_default=true()),
    Column("started_at", Instant, nullable=False),
    Column("queues", JSON, nullable=False, server_default="[]"),  # of a worker: the names of the queues that it serves
    Column("resources", JSON(none_as_null=True)),  # what it offers besides slots: name -> amount; NULL: it does not say
    Column("version", String(40), nullable=False, server_default=""),
    Column("gateway", String(40), nullable=False, server_default=""),  # of a worker: how it asks for work, for people
    Column("is_draining", Boolean, nullable=False, server_default=false()),  # takes no new work
    Column("busy", Integer, nullable=False, server_default="0"),  # the attempts that it held at its last beat
    Column("seen_at", Instant),  # its last beat, for people alone: leases go by the number
    Index("ix_supervisor_executor", "executor", "host"),
    Index("ix_supervisor_alive", "executor", "id", **where("is_alive")),
)

offer = Table(
    "offer",
    metadata,
    Column("attempt_id", String(32), ForeignKey("attempt.id", ondelete="CASCADE"), primary_key=True),
    Column("executor", String(250), nullable=False),
    Column("queue", String(250), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("resources", Text),  # what it asks for, see state.resources; NULL: nothing
    Column("workload", JSON, nullable=False),  # all that a worker needs, without the paths of its own host
    Column("offers", Integer, nullable=False, server_default="1"),  # how often its doorbell was rung
    Column("offer_at", Instant),  # when it is rung again; NULL once it is claimed
    Index("ix_offer_due", "offer_at", **where("offer_at IS NOT NULL")),
    Index("ix_offer_unrung", "executor", **where("offer_at IS NOT NULL AND offers = 0")),
    Index("ix_offer_open", "executor", "queue", "priority", "attempt_id", **where("offer_at IS NOT NULL")),
    comment="attempts that wait for a worker to claim them, or are at one",
)

worker_report = Table(
    "worker_report",
    metadata,
    key(),
    Column("attempt_id", String(32), ForeignKey("attempt.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(20), nullable=False),  # started or finished
    Column("body", Text, nullable=False),  # JSON
    UniqueConstraint("attempt_id", "kind"),
    comment="what workers say of their attempts, until a scheduler has applied it",
)
