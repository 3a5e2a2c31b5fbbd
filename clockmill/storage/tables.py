"""The tables of the metadata database.

Instants are stored as UTC. A state column has a CHECK from the enum in ``clockmill.state``, and only
``storage/transitions`` writes it. What is hot has a partial index on live rows, and every foreign key an index.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
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
    text,
)

from clockmill.state import AttemptState, BackfillState, CallbackState, RunEnding, RunState, RunType, TaskState
from clockmill.storage.columns import LIVE, Instant, Key, from_micros, key, lit, metadata, one_of, to_micros, where
from clockmill.storage.dag_tables import (
    bundle,
    bundle_file,
    dag,
    dag_ticks,
    dag_version,
    import_error,
    parsed_file,
)
from clockmill.storage.worker_tables import offer, supervisor, worker_report

__all__ = [
    "Instant",
    "Key",
    "attempt",
    "backfill",
    "bundle",
    "bundle_file",
    "callback",
    "component",
    "connection",
    "counter",
    "dag",
    "dag_run",
    "dag_ticks",
    "dag_version",
    "deadline",
    "event",
    "from_micros",
    "import_error",
    "leader",
    "lit",
    "metadata",
    "offer",
    "parsed_file",
    "pool",
    "supervisor",
    "task_instance",
    "task_trigger",
    "to_micros",
    "variable",
    "worker_report",
    "xcom",
]

# --- runs ----------------------------------------------------------------------------------------------------------

backfill = Table(
    "backfill",
    metadata,
    key(),
    Column("dag_id", String(250), ForeignKey("dag.dag_id", ondelete="CASCADE"), nullable=False),
    Column("state", String(20), nullable=False, server_default=BackfillState.RUNNING.value),
    Column("reason", Text, nullable=False, server_default=""),
    Column("from_date", Instant, nullable=False),  # the first logical date wanted
    Column("to_date", Instant, nullable=False),  # the last one, included
    Column("cursor", Instant),  # the logical date dealt with last while its runs are made
    Column("is_settled", Boolean, nullable=False, server_default=false()),  # no run of it is to be made or taken back
    Column("run_count", Integer, nullable=False, server_default="0"),  # of its dates, those that it runs
    Column("max_active_runs", Integer),
    Column("run_backwards", Boolean, nullable=False, server_default=false()),
    Column("reprocess_behavior", String(20), nullable=False, server_default="none"),
    Column("task_regex", Text, nullable=False, server_default=""),
    Column("conf", JSON, nullable=False),
    Column("canary", Integer),  # runs that must succeed before the others begin
    Column("stop_at", Text, nullable=False, server_default=""),  # "5" or "10%" failed runs pause it
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False, server_default=""),
    Column("resumed_at", Instant),  # runs that failed until then hold nothing back any more
    Column("ended_at", Instant),
    one_of("state", BackfillState),
    Index("ix_backfill_dag_id", "dag_id", "id"),
    Index("ix_backfill_unsettled", "id", **where("NOT is_settled")),
    Index("ix_backfill_open", "id", **where("state IN ('running', 'paused')")),
)

dag_run = Table(
    "dag_run",
    metadata,
    key(),
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
    Column("ending", String(20)),  # why we end it, or did; NULL: it ends as its tasks do
    Column("reason", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
    Column("created_by", Text, nullable=False, server_default=""),
    Column("backfill_id", Key, ForeignKey("backfill.id", ondelete="SET NULL")),
    UniqueConstraint("dag_id", "run_id"),
    UniqueConstraint("dag_id", "logical_date"),
    one_of("state", RunState),
    one_of("run_type", RunType),
    one_of("ending", RunEnding),
    CheckConstraint("ending IS NULL OR state <> 'success'", name="no_success_is_cut_short"),
    CheckConstraint("(state IN ('success', 'failed')) = (end_date IS NOT NULL)", name="ended_iff_finished"),
    Index("ix_dag_run_version_id", "version_id"),
    Index("ix_dag_run_backfill_id", "backfill_id", "logical_date", **where("backfill_id IS NOT NULL")),
    Index("ix_dag_run_of_backfill", "state", "backfill_id", "logical_date", **where("backfill_id IS NOT NULL")),
    Index("ix_dag_run_by_age", "dag_id", "id"),
    Index("ix_dag_run_by_type", "dag_id", "run_type", "id"),
    Index("ix_dag_run_failed", "dag_id", "id", **where("state = 'failed'")),
    Index("ix_dag_run_active", "dag_id", "id", **where("state IN ('queued', 'running')")),
    Index("ix_dag_run_running", "dag_id", "id", **where("state = 'running'")),
    Index("ix_dag_run_queued", "dag_id", "run_after", "id", **where("state = 'queued' AND backfill_id IS NULL")),
    Index("ix_dag_run_deadline", "deadline_at", **where("deadline_at IS NOT NULL")),
)

task_instance = Table(
    "task_instance",
    metadata,
    key(),
    Column("dag_run_id", Key, ForeignKey("dag_run.id", ondelete="CASCADE"), nullable=False),
    Column("task_id", String(250), nullable=False),
    Column("scope", String(250), nullable=False, server_default=""),  # instance of the mapped groups around: "2", "2.0"
    Column("map_index", Integer, nullable=False, server_default="-1"),  # unique within the task; -1: not expanded
    Column("item", Integer, nullable=False, server_default="-1"),  # which element of its own expansion it takes
    Column("label", Text, nullable=False, server_default=""),  # map_index_template, as its last attempt filled it in
    Column("state", String(20), nullable=False, server_default=TaskState.NONE.value),
    Column("try_number", Integer, nullable=False, server_default="0"),  # the try begun last
    Column("max_tries", Integer, nullable=False, server_default="1"),  # the last try number allowed
    Column("crashes", Integer, nullable=False, server_default="0"),  # lost attempts since it was last cleared
    Column("revision", BigInteger, nullable=False, server_default="0"),  # of its run, when it last changed
    Column("due_at", Instant),  # the next try or the next look, in up_for_retry and up_for_reschedule
    Column("reschedules", Integer, nullable=False, server_default="0"),  # looks of a sensor in this try, in vain
    Column("first_start", Instant),  # when this try first began, over deferrals and reschedules
    Column("resume", JSON(none_as_null=True)),  # how a deferred task goes on: method, kwargs, event or error
    Column("lane", Integer, nullable=False, server_default="0"),  # 0: live, 1: backfill, which goes after
    Column("priority", Integer, nullable=False, server_default="1"),
    Column("pool", String(250), nullable=False, server_default="default_pool"),
    Column("pool_slots", Integer, nullable=False, server_default="1"),
    Column("executor", String(250), nullable=False, server_default=""),  # empty: the default executor
    Column("queue", String(250), nullable=False, server_default="default"),
    Column("resources", Text),  # what it asks for, see state.resources; NULL: nothing
    Column("max_active_per_dag", Integer),
    Column("max_active_per_run", Integer),
    Column("cut_short", Boolean, nullable=False, server_default=false()),  # ended with its run, so a rerun owes it
    Column("leaves_out", JSON),  # task ids that this branch or short circuit skips
    Column("scheduled_at", Instant),
    Column("start_date", Instant),
    Column("end_date", Instant),
    Column("reason", Text, nullable=False, server_default=""),
    UniqueConstraint("dag_run_id", "task_id", "scope", "map_index"),
    one_of("state", TaskState),
    CheckConstraint("(state IN ('up_for_retry', 'up_for_reschedule')) = (due_at IS NOT NULL)", name="due_iff_waiting"),
    CheckConstraint("NOT cut_short OR state IN ('failed', 'skipped')", name="cut_short_is_over"),
    Index("ix_task_instance_ready", "lane", text("priority DESC"), "dag_run_id", "id", **where("state = 'scheduled'")),
    Index(
        "ix_task_instance_asking",
        "lane",
        text("priority DESC"),
        "dag_run_id",
        "id",
        **where("state = 'scheduled' AND resources IS NOT NULL"),
    ),
    Index("ix_task_instance_due", "due_at", **where("due_at IS NOT NULL")),
)

task_trigger = Table(
    "task_trigger",
    metadata,
    key(),
    Column("task_instance_id", Key, ForeignKey("task_instance.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("dag_run_id", Key, ForeignKey("dag_run.id", ondelete="CASCADE"), nullable=False),
    Column("class_path", Text, nullable=False),  # module.Class
    Column("kwargs", Text, nullable=False),  # JSON, see xcom.codec
    Column("bundle", String(64), nullable=False),  # where its code comes from, when it is the author's own
    Column("file", Text, nullable=False),
    Column("pool", String(250), nullable=False),
    Column("pool_slots", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("timeout_at", Instant),
    Column("triggerer", String(64)),  # who runs it
    Column("fired_at", Instant),  # set once, by compare-and-set
    Column("event", Text),  # JSON, see xcom.codec
    Column("error", Text),  # why it ended without an event
    Column("crashes", Integer, nullable=False, server_default="0"),  # triggerers that died in the midst of its code
    Index("ix_task_trigger_dag_run_id", "dag_run_id"),
    Index("ix_task_trigger_fired", "fired_at", **where("fired_at IS NOT NULL")),
    Index("ix_task_trigger_waiting", "triggerer", "id", **where("fired_at IS NULL")),
    Index("ix_task_trigger_timeout", "timeout_at", **where("fired_at IS NULL AND timeout_at IS NOT NULL")),
    comment="what deferred tasks wait for; a row goes when its task goes on",
)

callback = Table(
    "callback",
    metadata,
    key(),
    Column("dag_run_id", Key, ForeignKey("dag_run.id", ondelete="CASCADE"), nullable=False),
    Column("task_instance_id", Key, ForeignKey("task_instance.id", ondelete="CASCADE")),
    Column("kind", String(40), nullable=False),  # which of the author's functions: on_failure_callback, deadline:0, ...
    Column("state", String(20), nullable=False, server_default=CallbackState.PENDING.value),
    Column("context", JSON, nullable=False),  # what the function is told beside the run: reason, ...
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    one_of("state", CallbackState),
    Index("ix_callback_dag_run_id", "dag_run_id"),
    Index("ix_callback_task_instance_id", "task_instance_id"),
    Index("ix_callback_pending", "id", **where("state = 'pending'")),
    comment="calls of authors' functions that no task process makes by itself",
)

deadline = Table(
    "deadline",
    metadata,
    key(),
    Column("dag_run_id", Key, ForeignKey("dag_run.id", ondelete="CASCADE"), nullable=False),
    Column("task_instance_id", Key, ForeignKey("task_instance.id", ondelete="CASCADE")),
    Column("name", Text, nullable=False),
    Column("position", Integer, nullable=False),  # which of the author's alerts
    Column("due_at", Instant, nullable=False),
    Column("warn_at", Instant),  # when it can no longer be met in the usual time, unless it has begun by then
    Column("warned_at", Instant),  # when its usual duration said that it will be missed
    Column("missed_at", Instant),
    Column("met_at", Instant),
    Index("ix_deadline_dag_run_id", "dag_run_id"),
    Index("ix_deadline_task_instance_id", "task_instance_id"),
    Index("ix_deadline_open", "due_at", **where("missed_at IS NULL AND met_at IS NULL")),
    Index("ix_deadline_missed", "missed_at", **where("missed_at IS NOT NULL")),
    Index("ix_deadline_warning", "warn_at", **where("warn_at IS NOT NULL")),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("task_instance_id", Key, ForeignKey("task_instance.id", ondelete="CASCADE")),
    Column("callback_id", Key, ForeignKey("callback.id", ondelete="CASCADE")),
    Column("dag_run_id", Key, ForeignKey("dag_run.id", ondelete="CASCADE"), nullable=False),
    Column("try_number", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("token", String(32), nullable=False),
    Column("executor", String(250), nullable=False),
    Column("queue", String(250), nullable=False, server_default="default"),
    Column("supervisor_id", String(64)),  # its row may be gone: those of long gone ones are pruned
    Column("pool", String(250), nullable=False),
    Column("pool_slots", Integer, nullable=False),
    Column("resources", Text),  # what it was given, see state.resources; NULL: it asked for nothing
    Column("queued_at", Instant, nullable=False),
    Column("claimed_at", Instant),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("reason", Text, nullable=False, server_default=""),
    Column("peak_memory_kb", Integer),
    Column("cpu_seconds", Float),
    one_of("state", AttemptState),
    CheckConstraint(f"(state IN ({LIVE})) = (ended_at IS NULL)", name="ended_iff_over"),
    CheckConstraint("(task_instance_id IS NULL) <> (callback_id IS NULL)", name="one_work_item"),
    Index("uq_attempt_live", "task_instance_id", unique=True, **where(f"state IN ({LIVE})")),
    Index("uq_attempt_live_callback", "callback_id", unique=True, **where(f"state IN ({LIVE})")),
    Index("ix_attempt_task_instance_id", "task_instance_id"),
    Index("ix_attempt_callback_id", "callback_id", **where("callback_id IS NOT NULL")),
    Index("ix_attempt_dag_run_id", "dag_run_id"),
    Index("ix_attempt_live_supervisor", "supervisor_id", **where(f"state IN ({LIVE})")),
)

xcom = Table(
    "xcom",
    metadata,
    key(),
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
    key(),
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

leader = Table(
    "leader",
    metadata,
    Column("name", String(40), primary_key=True),  # of the kind of service
    Column("instance", String(64), nullable=False),  # the one that works while the others stand by
    Column("beat", BigInteger, nullable=False),  # raised with each sign of life
    comment="of services that must not work side by side, the one that does",
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
