"""The tables of DAGs and DAG files."""

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
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)

from clockmill.storage.columns import Instant, Key, key, metadata, where

bundle = Table(
    "bundle",
    metadata,
    key(),
    Column("source", String(250), nullable=False, server_default="dags"),
    Column("hash", String(64), nullable=False, unique=True),
    Column("manifest", JSON, nullable=False),  # {relative path: [sha256, size, mode]}
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    comment="content-addressed snapshots of the DAG folder",
)

bundle_file = Table(
    "bundle_file",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    comment="each file of every bundle, stored once",
)

dag = Table(
    "dag",
    metadata,
    Column("dag_id", String(250), primary_key=True),
    Column("source", String(250), nullable=False, server_default="dags"),
    Column("file", Text, nullable=False),
    Column("is_paused", Boolean, nullable=False, server_default=false()),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("description", Text),
    Column("owner", Text, nullable=False, server_default=""),
    Column("tags", JSON, nullable=False),
    Column("schedule", Text, nullable=False, server_default=""),  # for people: "0 6 * * *", "None", "@daily"
    Column("max_active_runs", Integer, nullable=False, server_default="16"),
    Column("max_active_tasks", Integer, nullable=False, server_default="16"),  # of each run
    Column("max_consecutive_failed", Integer, nullable=False, server_default="0"),  # failed runs that pause it; 0: none
    Column("overlap", String(20), nullable=False, server_default="queue"),  # queue, skip, cancel
    Column("version_id", Key, ForeignKey("dag_version.id", use_alter=True)),
    Column("next_tick", JSON),  # {"run_after": ..., "logical_date": ..., "start": ..., "end": ...} or null
    Column("next_run_after", Instant),  # of next_tick; null when nothing is due
    Column("last_parsed_at", Instant),
    Column("parse_seconds", Float),
    Column("created_at", Instant, nullable=False),
    Index("ix_dag_due", "next_run_after", **where("next_run_after IS NOT NULL")),
    Index("ix_dag_version_id", "version_id"),
    Index("ix_dag_file", "source", "file"),
)

dag_version = Table(
    "dag_version",
    metadata,
    key(),
    Column("dag_id", String(250), ForeignKey("dag.dag_id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("document", Text, nullable=False),  # JSON, see serde
    Column("document_hash", String(64), nullable=False),
    Column("code_hash", String(64), nullable=False),  # over the DAG file and what it imported or opened in the folder
    Column("bundle_id", Key, ForeignKey("bundle.id"), nullable=False),
    Column("file", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("dag_id", "number"),
    Index("ix_dag_version_bundle_id", "bundle_id"),
)

import_error = Table(
    "import_error",
    metadata,
    key(),
    Column("source", String(250), nullable=False, server_default="dags"),
    Column("file", Text, nullable=False),
    Column("line", Integer),
    Column("message", Text, nullable=False),
    Column("traceback", Text, nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("source", "file"),
)

dag_ticks = Table(
    "dag_ticks",
    metadata,
    Column("dag_id", String(250), ForeignKey("dag.dag_id", ondelete="CASCADE"), primary_key=True),
    Column("ticks", JSON, nullable=False),  # like dag.next_tick, ascending
    Column("is_complete", Boolean, nullable=False, server_default=false()),  # there is none after them
    Column("refill_at", Instant),  # once the next tick is later than this, more are wanted; null when there are none
    Column("computed_at", Instant, nullable=False),
    comment="the next ticks of a timetable of the author's own, which only the parsing process may ask",
)

parsed_file = Table(
    "parsed_file",
    metadata,
    Column("source", String(250), primary_key=True),
    Column("file", Text, primary_key=True),
    Column("fingerprint", String(64), nullable=False),  # over the file, its dependencies and this program's version
    Column("dependencies", JSON, nullable=False),  # relative paths, its own included
    Column("parsed_at", Instant, nullable=False),
    comment="what each DAG file was parsed from, so that unchanged files cost nothing after a restart",
)
