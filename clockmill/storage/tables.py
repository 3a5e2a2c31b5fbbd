"""The tables of the metadata database.

Instants are stored as UTC. A state column has a CHECK from the enum in ``clockmill.state``, and only
``storage/transitions.py`` writes it. What is hot has a partial index on live rows, and every foreign key an index.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
    text,
    true,
)
from sqlalchemy.types import TypeDecorator

from clockmill.state import LIVE_ATTEMPT_STATES, AttemptState, RunState, RunType, TaskState

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


def _one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    names = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({names})", name=f"{column}_known")


def _key() -> Column[int]:
    return Column("id", Key, primary_key=True, autoincrement=True)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def lit(value: str) -> ColumnElement[str]:
    """A constant of ours, spelled out in the statement: the planner of neither database matches a bound parameter
    with the condition of a partial index."""
    return literal_column(f"'{value}'", String)


_LIVE = ", ".join(f"'{state}'" for state in sorted(LIVE_ATTEMPT_STATES))

# --- DAG files ---------------------------------------------------------------------------------------------------

bundle = Table(
    "bundle",
    metadata,
    _key(),
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
    Column("version_id", Key, ForeignKey("dag_version.id", use_alter=True)),
    Column("next_tick", JSON),  # {"run_after": ..., "logical_date": ..., "start": ..., "end": ...} or null
    Column("next_run_after", Instant),  # of next_tick; null when nothing is due
    Column("last_parsed_at", Instant),
    Column("parse_seconds", Float),
    Column("created_at", Instant, nullable=False),
    Index("ix_dag_due", "next_run_after", **_where("next_run_after IS NOT NULL")),
    Index("ix_dag_version_id", "version_id"),
    Index("ix_dag_file", "source", "file"),
)

dag_version = Table(
    "dag_version",
    metadata,
    _key(),
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
    _key(),
    Column("source", String(250), nullable=False, server_default="dags"),
    Column("file", Text, nullable=False),
    Column("line", Integer),
    Column("message", Text, nullable=False),
    Column("traceback", Text, nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("source", "file"),
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

# --- runs ----------------------------------------------------------------------------------------------------------

dag_run = Table(
    "dag_run",
    metadata,
    _key(),
    Column("dag_id", String(250), ForeignKey("dag.dag_id", ondelete="CASCADE"), nullable=False),
    Column("run_id", String(250), nullable=False),
    Column("version_id", Key, ForeignKey("dag_version.id"), nullable=False),
    Column("state", String(20), nullable=False),
    Column("run_type", String(30), nullable=False),
    Column("logical_date", Instant),
    Column("run_after", Instant, nullable=False),
    Column("data_interval_start", Instant),
    Column("data_interval_end", Instant),
    Column("conf", JSON, nullable=False),
    Column("queued_at", Instant, nullable=False),
    Column("start_date", Instant),
    Column("end_date", Instant),
    Column("deadline_at", Instant),  # start_date + dagrun_timeout, while running
    Column("max_active_tasks", Integer, nullable=False, server_default="16"),
    Column("revision", BigInteger, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
    Column("created_by", Text, nullable=False, server_default=""),
    UniqueConstraint("dag_id", "run_id"),
    UniqueConstraint("dag_id", "logical_date"),
    _one_of("state", RunState),
    _one_of("run_type", RunType),
    CheckConstraint("(state IN ('success', 'failed')) = (end_date IS NOT NULL)", name="ended_iff_finished"),
    Index("ix_dag_run_version_id", "version_id"),
    Index("ix_dag_run_by_age", "dag_id", "id"),
    Index("ix_dag_run_active", "dag_id", "id", **_where("state IN ('queued', 'running')")),
    Index("ix_dag_run_deadline", "deadline_at", **_where("deadline_at IS NOT NULL")),
)

task_instance = Table(
    "task_instance",
    metadata,
    _key(),
    Column("dag_run_id", Key, ForeignKey("dag_run.id", ondelete="CASCADE"), nullable=False),
    Column("task_id", String(250), nullable=False),
    Column("scope", String(250), nullable=False, server_default=""),  # the expansion that it belongs to
    Column("map_index", Integer, nullable=False, server_default="-1"),
    Column("state", String(20), nullable=False, server_default=TaskState.NONE.value),
    Column("try_number", Integer, nullable=False, server_default="0"),  # the try begun last
    Column("max_tries", Integer, nullable=False, server_default="1"),  # the last try number allowed
    Column("crashes", Integer, nullable=False, server_default="0"),  # lost attempts since it was last cleared
    Column("revision", BigInteger, nullable=False, server_default="0"),  # of its run, when it last changed
    Column("due_at", Instant),  # the next try, in up_for_retry
    Column("priority", Integer, nullable=False, server_default="1"),
    Column("pool", String(250), nullable=False, server_default="default_pool"),
    Column("pool_slots", Integer, nullable=False, server_default="1"),
    Column("executor", String(250), nullable=False, server_default=""),  # empty: the default executor
    Column("queue", String(250), nullable=False, server_default="default"),
    Column("leaves_out", JSON),  # task ids that this branch or short circuit skips
    Column("scheduled_at", Instant),
    Column("start_date", Instant),
    Column("end_date", Instant),
    Column("reason", Text, nullable=False, server_default=""),
    UniqueConstraint("dag_run_id", "task_id", "scope", "map_index"),
    _one_of("state", TaskState),
    CheckConstraint("(state = 'up_for_retry') = (due_at IS NOT NULL)", name="due_iff_waiting"),
    Index("ix_task_instance_ready", text("priority DESC"), "id", **_where("state = 'scheduled'")),
    Index("ix_task_instance_due", "due_at", **_where("due_at IS NOT NULL")),
)

supervisor = Table(
    "supervisor",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("executor", String(250), nullable=False),
    Column("host", String(250), nullable=False),
    Column("boot_id", String(64), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # of the scheduler that controls it
    Column("beat", BigInteger, nullable=False, server_default="0"),
    Column("is_alive", Boolean, nullable=False, server_default=true()),
    Column("started_at", Instant, nullable=False),
    Index("ix_supervisor_executor", "executor", "host"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("task_instance_id", Key, ForeignKey("task_instance.id", ondelete="CASCADE"), nullable=False),
    Column("dag_run_id", Key, ForeignKey("dag_run.id", ondelete="CASCADE"), nullable=False),
    Column("try_number", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("token", String(32), nullable=False),
    Column("executor", String(250), nullable=False),
    Column("queue", String(250), nullable=False, server_default="default"),
    Column("supervisor_id", String(64), ForeignKey("supervisor.id")),
    Column("pool", String(250), nullable=False),
    Column("pool_slots", Integer, nullable=False),
    Column("queued_at", Instant, nullable=False),
    Column("claimed_at", Instant),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("reason", Text, nullable=False, server_default=""),
    Column("peak_memory_kb", Integer),
    Column("cpu_seconds", Float),
    _one_of("state", AttemptState),
    CheckConstraint(f"(state IN ({_LIVE})) = (ended_at IS NULL)", name="ended_iff_over"),
    Index("uq_attempt_live", "task_instance_id", unique=True, **_where(f"state IN ({_LIVE})")),
    Index("ix_attempt_task_instance_id", "task_instance_id"),
    Index("ix_attempt_dag_run_id", "dag_run_id"),
    Index("ix_attempt_live_supervisor", "supervisor_id", **_where(f"state IN ({_LIVE})")),
)

xcom = Table(
    "xcom",
    metadata,
    _key(),
    Column("dag_run_id", Key, ForeignKey("dag_run.id", ondelete="CASCADE"), nullable=False),
    Column("task_instance_id", Key, ForeignKey("task_instance.id", ondelete="CASCADE"), nullable=False),
    Column("task_id", String(250), nullable=False),
    Column("map_index", Integer, nullable=False, server_default="-1"),
    Column("try_number", Integer, nullable=False),
    Column("key", String(250), nullable=False),
    Column("value", Text, nullable=False),  # JSON, see xcom.codec
    Column("length", Integer),  # of a list or mapping, so that an expansion never decodes it
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("task_instance_id", "key"),
    Index("ix_xcom_lookup", "dag_run_id", "key", "task_id", "map_index"),
)

# --- what people set -----------------------------------------------------------------------------------------------

pool = Table(
    "pool",
    metadata,
    Column("name", String(250), primary_key=True),
    Column("slots", Integer, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("include_deferred", Boolean, nullable=False, server_default=false()),
    Column("team", String(250)),
    CheckConstraint("slots >= 0", name="slots_not_negative"),
)

variable = Table(
    "variable",
    metadata,
    Column("key", String(250), primary_key=True),
    Column("value", Text, nullable=False),  # encrypted
    Column("description", Text, nullable=False, server_default=""),
    Column("team", String(250)),
    Column("changed_at", Instant, nullable=False),
)

connection = Table(
    "connection",
    metadata,
    Column("conn_id", String(250), primary_key=True),
    Column("conn_type", String(250), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("host", Text),
    Column("port", Integer),
    Column("schema", Text),
    Column("login", Text),
    Column("secret", Text, nullable=False),  # encrypted JSON: password and extra
    Column("team", String(250)),
    Column("changed_at", Instant, nullable=False),
)

# --- housekeeping --------------------------------------------------------------------------------------------------

event = Table(
    "event",
    metadata,
    _key(),
    Column("at", Instant, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("actor", String(250), nullable=False),
    Column("dag_id", String(250)),
    Column("run_id", String(250)),
    Column("task_id", String(250)),
    Column("map_index", Integer),
    Column("detail", JSON, nullable=False),
    Index("ix_event_subject", "dag_id", "run_id", "id"),
)

counter = Table(
    "counter",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
    comment="numbers that only ever go up: 'epoch' of schedulers",
)

component = Table(
    "component",
    metadata,
    Column("name", String(40), primary_key=True),  # scheduler, dag-processor, ...
    Column("instance", String(64), primary_key=True),
    Column("host", String(250), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("last_loop", Instant, nullable=False),
    Column("period_seconds", Float, nullable=False),
    comment="the last complete loop of each service, for /health",
)
