"""Workers on other machines: what is offered to them, what they report, and what is known of them.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

#: 64 bits on PostgreSQL; on SQLite only INTEGER PRIMARY KEY counts up by itself.
Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

UNCLAIMED = "offer_at IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "offer",
        sa.Column("attempt_id", sa.String(length=32), nullable=False),
        sa.Column("executor", sa.String(length=250), nullable=False),
        sa.Column("queue", sa.String(length=250), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("resources", sa.Text()),
        sa.Column("workload", sa.JSON(), nullable=False),
        sa.Column("offers", sa.Integer(), server_default="1", nullable=False),
        sa.Column("offer_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_offer_attempt_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_offer"),
        comment="attempts that wait for a worker to claim them, or are at one",
    )
    op.create_index("ix_offer_due", "offer", ["offer_at"], **_where(UNCLAIMED))
    op.create_index("ix_offer_unrung", "offer", ["executor"], **_where(f"{UNCLAIMED} AND offers = 0"))
    op.create_index("ix_offer_open", "offer", ["executor", "queue", "priority", "attempt_id"], **_where(UNCLAIMED))
    op.create_table(
        "worker_report",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("attempt_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_worker_report_attempt_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_worker_report"),
        sa.UniqueConstraint("attempt_id", "kind", name="uq_worker_report_attempt_id_kind"),
        comment="what workers say of their attempts, until a scheduler has applied it",
    )
    op.create_table(
        "leader",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("instance", sa.String(length=64), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leader"),
        comment="of services that must not work side by side, the one that does",
    )
    with op.batch_alter_table("supervisor") as table:
        table.add_column(sa.Column("queues", sa.JSON(), server_default="[]", nullable=False))
        table.add_column(sa.Column("resources", sa.JSON()))
        table.add_column(sa.Column("version", sa.String(length=40), server_default="", nullable=False))
        table.add_column(sa.Column("gateway", sa.String(length=40), server_default="", nullable=False))
        table.add_column(sa.Column("is_draining", sa.Boolean(), server_default=sa.false(), nullable=False))
        table.add_column(sa.Column("busy", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("lease", sa.Float()))
        table.add_column(sa.Column("seen_at", sa.BigInteger()))
    op.create_index("ix_supervisor_alive", "supervisor", ["executor", "id"], **_where("is_alive"))


def downgrade() -> None:
    # What no supervisor of this host has is begun again by code that knows of no workers.
    op.execute(
        "UPDATE attempt SET state = 'released', ended_at = queued_at "
        "WHERE state IN ('queued', 'running', 'stopping') AND id IN (SELECT attempt_id FROM offer)"
    )
    op.execute(
        "UPDATE task_instance SET state = 'scheduled' WHERE state IN ('queued', 'running') AND id IN "
        "(SELECT task_instance_id FROM attempt JOIN offer ON offer.attempt_id = attempt.id)"
    )
    op.drop_index("ix_supervisor_alive", "supervisor")
    with op.batch_alter_table("supervisor") as table:
        for name in ("seen_at", "lease", "busy", "is_draining", "gateway", "version", "resources", "queues"):
            table.drop_column(name)
    op.drop_table("leader")
    op.drop_table("worker_report")
    op.drop_table("offer")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
