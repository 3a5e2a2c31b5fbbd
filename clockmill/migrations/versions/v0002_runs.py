"""Runs, task instances, attempts, XComs.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

#: 64 bits on PostgreSQL; on SQLite only INTEGER PRIMARY KEY counts up by itself.
Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = (
    "supervisor",
    "dag_run",
    "task_instance",
    "attempt",
    "xcom",
)


def upgrade() -> None:
    _create_supervisor()
    _create_dag_run()
    _create_task_instance()
    _create_attempt()
    _create_xcom()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_supervisor() -> None:
    op.create_table(
        "supervisor",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("executor", sa.String(length=250), nullable=False),
        sa.Column("host", sa.String(length=250), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("is_alive", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_supervisor"),
    )
    op.create_index("ix_supervisor_executor", "supervisor", ["executor", "host"])


def _create_dag_run() -> None:
    op.create_table(
        "dag_run",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=250), nullable=False),
        sa.Column("version_id", Key, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("run_type", sa.String(length=30), nullable=False),
        sa.Column("logical_date", sa.BigInteger()),
        sa.Column("run_after", sa.BigInteger(), nullable=False),
        sa.Column("data_interval_start", sa.BigInteger()),
        sa.Column("data_interval_end", sa.BigInteger()),
        sa.Column("conf", sa.JSON(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("start_date", sa.BigInteger()),
        sa.Column("end_date", sa.BigInteger()),
        sa.Column("deadline_at", sa.BigInteger()),
        sa.Column("max_active_tasks", sa.Integer(), server_default="16", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "(state IN ('success', 'failed')) = (end_date IS NOT NULL)", name="ck_dag_run_ended_iff_finished"
        ),
        sa.CheckConstraint(
            "run_type IN ('scheduled', 'manual', 'backfill', 'asset_triggered', 'operator_triggered')",
            name="ck_dag_run_run_type_known",
        ),
        sa.CheckConstraint("state IN ('queued', 'running', 'success', 'failed')", name="ck_dag_run_state_known"),
        sa.ForeignKeyConstraint(["dag_id"], ["dag.dag_id"], name="fk_dag_run_dag_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["version_id"], ["dag_version.id"], name="fk_dag_run_version_id"),
        sa.PrimaryKeyConstraint("id", name="pk_dag_run"),
        sa.UniqueConstraint("dag_id", "logical_date", name="uq_dag_run_dag_id_logical_date"),
        sa.UniqueConstraint("dag_id", "run_id", name="uq_dag_run_dag_id_run_id"),
    )
    op.create_index("ix_dag_run_active", "dag_run", ["dag_id", "id"], **_where("state IN ('queued', 'running')"))
    op.create_index("ix_dag_run_by_age", "dag_run", ["dag_id", "id"])
    op.create_index("ix_dag_run_deadline", "dag_run", ["deadline_at"], **_where("deadline_at IS NOT NULL"))
    op.create_index("ix_dag_run_version_id", "dag_run", ["version_id"])


def _create_task_instance() -> None:
    op.create_table(
        "task_instance",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("dag_run_id", Key, nullable=False),
        sa.Column("task_id", sa.String(length=250), nullable=False),
        sa.Column("scope", sa.String(length=250), server_default="", nullable=False),
        sa.Column("map_index", sa.Integer(), server_default="-1", nullable=False),
        sa.Column("state", sa.String(length=20), server_default="none", nullable=False),
        sa.Column("try_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_tries", sa.Integer(), server_default="1", nullable=False),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("priority", sa.Integer(), server_default="1", nullable=False),
        sa.Column("pool", sa.String(length=250), server_default="default_pool", nullable=False),
        sa.Column("pool_slots", sa.Integer(), server_default="1", nullable=False),
        sa.Column("executor", sa.String(length=250), server_default="", nullable=False),
        sa.Column("queue", sa.String(length=250), server_default="default", nullable=False),
        sa.Column("leaves_out", sa.JSON()),
        sa.Column("scheduled_at", sa.BigInteger()),
        sa.Column("start_date", sa.BigInteger()),
        sa.Column("end_date", sa.BigInteger()),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("(state = 'up_for_retry') = (due_at IS NOT NULL)", name="ck_task_instance_due_iff_waiting"),
        sa.CheckConstraint(
            (
                "state IN ('none', 'removed', 'scheduled', 'queued', 'running', 'success', 'restarting', 'failed', "
                "'up_for_retry', 'up_for_reschedule', 'upstream_failed', 'skipped', 'deferred')"
            ),
            name="ck_task_instance_state_known",
        ),
        sa.ForeignKeyConstraint(["dag_run_id"], ["dag_run.id"], name="fk_task_instance_dag_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_task_instance"),
        sa.UniqueConstraint(
            "dag_run_id", "task_id", "scope", "map_index", name="uq_task_instance_dag_run_id_task_id_scope_map_index"
        ),
    )
    op.create_index("ix_task_instance_due", "task_instance", ["due_at"], **_where("due_at IS NOT NULL"))
    op.create_index(
        "ix_task_instance_ready", "task_instance", [sa.text("priority DESC"), "id"], **_where("state = 'scheduled'")
    )


def _create_attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("task_instance_id", Key, nullable=False),
        sa.Column("dag_run_id", Key, nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("executor", sa.String(length=250), nullable=False),
        sa.Column("queue", sa.String(length=250), server_default="default", nullable=False),
        sa.Column("supervisor_id", sa.String(length=64)),
        sa.Column("pool", sa.String(length=250), nullable=False),
        sa.Column("pool_slots", sa.Integer(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger()),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("signal", sa.Integer()),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("peak_memory_kb", sa.Integer()),
        sa.Column("cpu_seconds", sa.Float()),
        sa.CheckConstraint(
            "(state IN ('queued', 'running', 'stopping')) = (ended_at IS NULL)", name="ck_attempt_ended_iff_over"
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'stopping', 'success', 'failed', 'skipped', 'lost', 'stopped', 'released')",
            name="ck_attempt_state_known",
        ),
        sa.ForeignKeyConstraint(["dag_run_id"], ["dag_run.id"], name="fk_attempt_dag_run_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["task_instance_id"], ["task_instance.id"], name="fk_attempt_task_instance_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
    )
    op.create_index("ix_attempt_dag_run_id", "attempt", ["dag_run_id"])
    op.create_index(
        "ix_attempt_live_supervisor",
        "attempt",
        ["supervisor_id"],
        **_where("state IN ('queued', 'running', 'stopping')"),
    )
    op.create_index("ix_attempt_task_instance_id", "attempt", ["task_instance_id"])
    op.create_index(
        "uq_attempt_live",
        "attempt",
        ["task_instance_id"],
        unique=True,
        **_where("state IN ('queued', 'running', 'stopping')"),
    )


def _create_xcom() -> None:
    op.create_table(
        "xcom",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("dag_run_id", Key, nullable=False),
        sa.Column("task_instance_id", Key, nullable=False),
        sa.Column("task_id", sa.String(length=250), nullable=False),
        sa.Column("map_index", sa.Integer(), server_default="-1", nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("length", sa.Integer()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["dag_run_id"], ["dag_run.id"], name="fk_xcom_dag_run_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["task_instance_id"], ["task_instance.id"], name="fk_xcom_task_instance_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_xcom"),
        sa.UniqueConstraint("task_instance_id", "key", name="uq_xcom_task_instance_id_key"),
    )
    op.create_index("ix_xcom_lookup", "xcom", ["dag_run_id", "key", "task_id", "map_index"])


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
