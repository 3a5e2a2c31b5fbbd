"""DAG files, what people set, housekeeping.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

#: 64 bits on PostgreSQL; on SQLite only INTEGER PRIMARY KEY counts up by itself.
Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = (
    "bundle",
    "bundle_file",
    "dag",
    "import_error",
    "parsed_file",
    "pool",
    "variable",
    "connection",
    "event",
    "counter",
    "component",
    "dag_version",
)


def upgrade() -> None:
    _create_bundle()
    _create_bundle_file()
    _create_dag()
    _create_import_error()
    _create_parsed_file()
    _create_pool()
    _create_variable()
    _create_connection()
    _create_event()
    _create_counter()
    _create_component()
    _create_dag_version()
    if op.get_context().dialect.name == "postgresql":  # SQLite has it since the table was made
        op.create_foreign_key("fk_dag_version_id", "dag", "dag_version", ["version_id"], ["id"])
    _create_default_pool()


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint("fk_dag_version_id", "dag", type_="foreignkey")
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_bundle() -> None:
    op.create_table(
        "bundle",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=250), server_default="dags", nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bundle"),
        sa.UniqueConstraint("hash", name="uq_bundle_hash"),
        comment="content-addressed snapshots of the DAG folder",
    )


def _create_bundle_file() -> None:
    op.create_table(
        "bundle_file",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_bundle_file"),
        comment="each file of every bundle, stored once",
    )


def _create_dag() -> None:
    op.create_table(
        "dag",
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("source", sa.String(length=250), server_default="dags", nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("is_paused", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("schedule", sa.Text(), server_default="", nullable=False),
        sa.Column("max_active_runs", sa.Integer(), server_default="16", nullable=False),
        sa.Column("max_active_tasks", sa.Integer(), server_default="16", nullable=False),
        sa.Column("version_id", Key),
        sa.Column("next_tick", sa.JSON()),
        sa.Column("next_run_after", sa.BigInteger()),
        sa.Column("last_parsed_at", sa.BigInteger()),
        sa.Column("parse_seconds", sa.Float()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["dag_version.id"], name="fk_dag_version_id", use_alter=True),
        sa.PrimaryKeyConstraint("dag_id", name="pk_dag"),
    )
    op.create_index("ix_dag_due", "dag", ["next_run_after"], **_where("next_run_after IS NOT NULL"))
    op.create_index("ix_dag_file", "dag", ["source", "file"])
    op.create_index("ix_dag_version_id", "dag", ["version_id"])


def _create_import_error() -> None:
    op.create_table(
        "import_error",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=250), server_default="dags", nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer()),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_import_error"),
        sa.UniqueConstraint("source", "file", name="uq_import_error_source_file"),
    )


def _create_parsed_file() -> None:
    op.create_table(
        "parsed_file",
        sa.Column("source", sa.String(length=250), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("dependencies", sa.JSON(), nullable=False),
        sa.Column("parsed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "file", name="pk_parsed_file"),
        comment="what each DAG file was parsed from, so that unchanged files cost nothing after a restart",
    )


def _create_pool() -> None:
    op.create_table(
        "pool",
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("include_deferred", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("team", sa.String(length=250)),
        sa.CheckConstraint("slots >= 0", name="ck_pool_slots_not_negative"),
        sa.PrimaryKeyConstraint("name", name="pk_pool"),
    )


def _create_variable() -> None:
    op.create_table(
        "variable",
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("team", sa.String(length=250)),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_variable"),
    )


def _create_connection() -> None:
    op.create_table(
        "connection",
        sa.Column("conn_id", sa.String(length=250), nullable=False),
        sa.Column("conn_type", sa.String(length=250), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("host", sa.Text()),
        sa.Column("port", sa.Integer()),
        sa.Column("schema", sa.Text()),
        sa.Column("login", sa.Text()),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("team", sa.String(length=250)),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("conn_id", name="pk_connection"),
    )


def _create_event() -> None:
    op.create_table(
        "event",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=250), nullable=False),
        sa.Column("dag_id", sa.String(length=250)),
        sa.Column("run_id", sa.String(length=250)),
        sa.Column("task_id", sa.String(length=250)),
        sa.Column("map_index", sa.Integer()),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
    )
    op.create_index("ix_event_subject", "event", ["dag_id", "run_id", "id"])


def _create_counter() -> None:
    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counter"),
        comment="numbers that only ever go up: 'epoch' of schedulers",
    )


def _create_component() -> None:
    op.create_table(
        "component",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("instance", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=250), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("last_loop", sa.BigInteger(), nullable=False),
        sa.Column("period_seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "instance", name="pk_component"),
        comment="the last complete loop of each service, for /health",
    )


def _create_dag_version() -> None:
    op.create_table(
        "dag_version",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("document_hash", sa.String(length=64), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("bundle_id", Key, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["bundle_id"], ["bundle.id"], name="fk_dag_version_bundle_id"),
        sa.ForeignKeyConstraint(["dag_id"], ["dag.dag_id"], name="fk_dag_version_dag_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_dag_version"),
        sa.UniqueConstraint("dag_id", "number", name="uq_dag_version_dag_id_number"),
    )
    op.create_index("ix_dag_version_bundle_id", "dag_version", ["bundle_id"])


def _create_default_pool() -> None:
    pool = sa.table("pool", sa.column("name"), sa.column("slots"), sa.column("description"))
    row = {"name": "default_pool", "slots": 128, "description": "where tasks go that name no pool"}
    op.bulk_insert(pool, [row])


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
