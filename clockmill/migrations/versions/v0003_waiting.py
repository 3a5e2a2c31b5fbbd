"""All that a run can wait for: ticks of custom timetables, backfills, triggers, callbacks, deadlines, mapped tasks.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

#: 64 bits on PostgreSQL; on SQLite only INTEGER PRIMARY KEY counts up by itself.
Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

LIVE = "state IN ('queued', 'running', 'stopping')"

TABLES = (
    "dag_ticks",
    "backfill",
    "task_trigger",
    "callback",
    "deadline",
)

TASK_STATE_KNOWN = (
    "state IN ('none', 'removed', 'scheduled', 'queued', 'running', 'success', 'restarting', 'failed', "
    "'up_for_retry', 'up_for_reschedule', 'upstream_failed', 'skipped', 'deferred')"
)
DUE_IFF_RETRIED = "(state = 'up_for_retry') = (due_at IS NOT NULL)"
DUE_IFF_WAITING = "(state IN ('up_for_retry', 'up_for_reschedule')) = (due_at IS NOT NULL)"

ENDED_IFF_OVER = f"({LIVE}) = (ended_at IS NULL)"
OLD_ATTEMPT_STATES = (
    "state IN ('queued', 'running', 'stopping', 'success', 'failed', 'skipped', 'lost', 'stopped', 'released')"
)
ATTEMPT_STATES = (
    "state IN ('queued', 'running', 'stopping', 'success', 'failed', 'skipped', 'lost', 'stopped', 'released', "
    "'deferred', 'rescheduled')"
)
ASKING = "state = 'scheduled' AND resources IS NOT NULL"
ONE_WORK_ITEM = "(task_instance_id IS NULL) <> (callback_id IS NULL)"

RUN_INDEXES = {
    "ix_dag_run_backfill_id": (["backfill_id", "logical_date"], "backfill_id IS NOT NULL"),
    "ix_dag_run_of_backfill": (["state", "backfill_id", "logical_date"], "backfill_id IS NOT NULL"),
    "ix_dag_run_running": (["dag_id", "id"], "state = 'running'"),
    "ix_dag_run_failed": (["dag_id", "id"], "state = 'failed'"),
    "ix_dag_run_queued": (["dag_id", "run_after", "id"], "state = 'queued' AND backfill_id IS NULL"),
}
RUN_CHECKS = {
    "ended_iff_finished": "(state IN ('success', 'failed')) = (end_date IS NOT NULL)",
    "run_type_known": "run_type IN ('scheduled', 'manual', 'backfill', 'asset_triggered', 'operator_triggered')",
    "state_known": "state IN ('queued', 'running', 'success', 'failed')",
}
RUN_ENDING_CHECKS = {
    "ending_known": "ending IN ('stopped', 'marked', 'overlap', 'dagrun_timeout', 'fail_fast', 'backfill')",
    "no_success_is_cut_short": "ending IS NULL OR state <> 'success'",
}
CUT_SHORT_IS_OVER = "NOT cut_short OR state IN ('failed', 'skipped')"


def upgrade() -> None:
    _create_dag_ticks()
    _create_backfill()
    _create_task_trigger()
    _create_callback()
    _create_deadline()
    _widen_dag()
    _widen_dag_run()
    _widen_task_instance()
    _widen_attempt()


def downgrade() -> None:
    _forget_what_older_code_cannot_go_on_with()
    _narrow_attempt()
    _narrow_task_instance()
    _narrow_dag_run()
    _narrow_dag()
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_dag_ticks() -> None:
    op.create_table(
        "dag_ticks",
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("ticks", sa.JSON(), nullable=False),
        sa.Column("is_complete", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("refill_at", sa.BigInteger()),
        sa.Column("computed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["dag_id"], ["dag.dag_id"], name="fk_dag_ticks_dag_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("dag_id", name="pk_dag_ticks"),
        comment="the next ticks of a timetable of the author's own, which only the parsing process may ask",
    )


def _create_backfill() -> None:
    op.create_table(
        "backfill",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("state", sa.String(length=20), server_default="running", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("from_date", sa.BigInteger(), nullable=False),
        sa.Column("to_date", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.BigInteger()),
        sa.Column("is_settled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("run_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_active_runs", sa.Integer()),
        sa.Column("run_backwards", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("reprocess_behavior", sa.String(length=20), server_default="none", nullable=False),
        sa.Column("task_regex", sa.Text(), server_default="", nullable=False),
        sa.Column("conf", sa.JSON(), nullable=False),
        sa.Column("canary", sa.Integer()),
        sa.Column("stop_at", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("resumed_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.CheckConstraint(
            "state IN ('running', 'paused', 'success', 'failed', 'cancelled')", name="ck_backfill_state_known"
        ),
        sa.ForeignKeyConstraint(["dag_id"], ["dag.dag_id"], name="fk_backfill_dag_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_backfill"),
    )
    op.create_index("ix_backfill_dag_id", "backfill", ["dag_id", "id"])
    op.create_index("ix_backfill_unsettled", "backfill", ["id"], **_where("NOT is_settled"))
    op.create_index("ix_backfill_open", "backfill", ["id"], **_where("state IN ('running', 'paused')"))


def _create_task_trigger() -> None:
    op.create_table(
        "task_trigger",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("task_instance_id", Key, nullable=False),
        sa.Column("dag_run_id", Key, nullable=False),
        sa.Column("class_path", sa.Text(), nullable=False),
        sa.Column("kwargs", sa.Text(), nullable=False),
        sa.Column("bundle", sa.String(length=64), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("pool", sa.String(length=250), nullable=False),
        sa.Column("pool_slots", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("timeout_at", sa.BigInteger()),
        sa.Column("triggerer", sa.String(length=64)),
        sa.Column("fired_at", sa.BigInteger()),
        sa.Column("event", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        *_of_run_and_task("task_trigger"),
        sa.PrimaryKeyConstraint("id", name="pk_task_trigger"),
        sa.UniqueConstraint("task_instance_id", name="uq_task_trigger_task_instance_id"),
        comment="what deferred tasks wait for; a row goes when its task goes on",
    )
    op.create_index("ix_task_trigger_dag_run_id", "task_trigger", ["dag_run_id"])
    op.create_index("ix_task_trigger_fired", "task_trigger", ["fired_at"], **_where("fired_at IS NOT NULL"))
    op.create_index("ix_task_trigger_waiting", "task_trigger", ["triggerer", "id"], **_where("fired_at IS NULL"))
    op.create_index(
        "ix_task_trigger_timeout",
        "task_trigger",
        ["timeout_at"],
        **_where("fired_at IS NULL AND timeout_at IS NOT NULL"),
    )


def _create_callback() -> None:
    op.create_table(
        "callback",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("dag_run_id", Key, nullable=False),
        sa.Column("task_instance_id", Key),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=20), server_default="pending", nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.CheckConstraint("state IN ('pending', 'success', 'failed')", name="ck_callback_state_known"),
        *_of_run_and_task("callback"),
        sa.PrimaryKeyConstraint("id", name="pk_callback"),
        comment="calls of authors' functions that no task process makes by itself",
    )
    op.create_index("ix_callback_dag_run_id", "callback", ["dag_run_id"])
    op.create_index("ix_callback_task_instance_id", "callback", ["task_instance_id"])
    op.create_index("ix_callback_pending", "callback", ["id"], **_where("state = 'pending'"))


def _create_deadline() -> None:
    op.create_table(
        "deadline",
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("dag_run_id", Key, nullable=False),
        sa.Column("task_instance_id", Key),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("warn_at", sa.BigInteger()),
        sa.Column("warned_at", sa.BigInteger()),
        sa.Column("missed_at", sa.BigInteger()),
        sa.Column("met_at", sa.BigInteger()),
        *_of_run_and_task("deadline"),
        sa.PrimaryKeyConstraint("id", name="pk_deadline"),
    )
    op.create_index("ix_deadline_dag_run_id", "deadline", ["dag_run_id"])
    op.create_index("ix_deadline_task_instance_id", "deadline", ["task_instance_id"])
    op.create_index("ix_deadline_open", "deadline", ["due_at"], **_where("missed_at IS NULL AND met_at IS NULL"))
    op.create_index("ix_deadline_missed", "deadline", ["missed_at"], **_where("missed_at IS NOT NULL"))
    op.create_index("ix_deadline_warning", "deadline", ["warn_at"], **_where("warn_at IS NOT NULL"))


def _widen_dag() -> None:
    with op.batch_alter_table("dag", **_remade("dag", {})) as table:
        table.add_column(sa.Column("max_consecutive_failed", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("overlap", sa.String(length=20), server_default="queue", nullable=False))


def _narrow_dag() -> None:
    with op.batch_alter_table("dag", **_remade("dag", {})) as table:
        table.drop_column("overlap")
        table.drop_column("max_consecutive_failed")


def _widen_dag_run() -> None:
    with op.batch_alter_table("dag_run", **_remade("dag_run", RUN_CHECKS | RUN_ENDING_CHECKS)) as table:
        table.add_column(sa.Column("ending", sa.String(length=20)))
        table.add_column(sa.Column("backfill_id", Key))
        table.create_foreign_key("fk_dag_run_backfill_id", "backfill", ["backfill_id"], ["id"], ondelete="SET NULL")
    _add_checks("dag_run", RUN_ENDING_CHECKS)
    for name, (columns, condition) in RUN_INDEXES.items():
        op.create_index(name, "dag_run", columns, **_where(condition))
    op.create_index("ix_dag_run_by_type", "dag_run", ["dag_id", "run_type", "id"])


def _narrow_dag_run() -> None:
    op.drop_index("ix_dag_run_by_type", "dag_run")
    for name in RUN_INDEXES:
        op.drop_index(name, "dag_run")
    _drop_checks("dag_run", *RUN_ENDING_CHECKS)
    with op.batch_alter_table("dag_run", **_remade("dag_run", RUN_CHECKS)) as table:
        table.drop_constraint("fk_dag_run_backfill_id", type_="foreignkey")
        table.drop_column("backfill_id")
        table.drop_column("ending")


def _widen_task_instance() -> None:
    op.drop_index("ix_task_instance_ready", "task_instance")
    more = {"cut_short_is_over": CUT_SHORT_IS_OVER}
    checks = {"due_iff_waiting": DUE_IFF_WAITING, "state_known": TASK_STATE_KNOWN, **more}
    with op.batch_alter_table("task_instance", **_remade("task_instance", checks)) as table:
        table.add_column(sa.Column("item", sa.Integer(), server_default="-1", nullable=False))
        table.add_column(sa.Column("label", sa.Text(), server_default="", nullable=False))
        table.add_column(sa.Column("reschedules", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("first_start", sa.BigInteger()))
        table.add_column(sa.Column("resume", sa.JSON()))
        table.add_column(sa.Column("lane", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("max_active_per_dag", sa.Integer()))
        table.add_column(sa.Column("max_active_per_run", sa.Integer()))
        table.add_column(sa.Column("resources", sa.Text()))
        table.add_column(sa.Column("cut_short", sa.Boolean(), server_default=sa.false(), nullable=False))
    _replace_check("task_instance", "due_iff_waiting", DUE_IFF_WAITING)
    _add_checks("task_instance", more)
    _create_ready_index("lane", sa.text("priority DESC"), "dag_run_id", "id")
    order = ("lane", sa.text("priority DESC"), "dag_run_id", "id")
    op.create_index("ix_task_instance_asking", "task_instance", order, **_where(ASKING))


def _narrow_task_instance() -> None:
    op.drop_index("ix_task_instance_asking", "task_instance")
    op.drop_index("ix_task_instance_ready", "task_instance")
    _drop_checks("task_instance", "cut_short_is_over")
    checks = {"due_iff_waiting": DUE_IFF_RETRIED, "state_known": TASK_STATE_KNOWN}
    with op.batch_alter_table("task_instance", **_remade("task_instance", checks)) as table:
        table.drop_column("cut_short")
        table.drop_column("resources")
        table.drop_column("max_active_per_run")
        table.drop_column("max_active_per_dag")
        table.drop_column("lane")
        table.drop_column("resume")
        table.drop_column("first_start")
        table.drop_column("reschedules")
        table.drop_column("label")
        table.drop_column("item")
    _replace_check("task_instance", "due_iff_waiting", DUE_IFF_RETRIED)
    _create_ready_index(sa.text("priority DESC"), "id")


def _create_ready_index(*columns: Any) -> None:
    op.create_index("ix_task_instance_ready", "task_instance", columns, **_where("state = 'scheduled'"))


def _widen_attempt() -> None:
    checks = {"ended_iff_over": ENDED_IFF_OVER, "state_known": ATTEMPT_STATES, "one_work_item": ONE_WORK_ITEM}
    with op.batch_alter_table("attempt", **_remade("attempt", checks)) as table:
        table.add_column(sa.Column("callback_id", Key))
        table.add_column(sa.Column("resources", sa.Text()))
        table.alter_column("task_instance_id", existing_type=Key, nullable=True)
        table.create_foreign_key("fk_attempt_callback_id", "callback", ["callback_id"], ["id"], ondelete="CASCADE")
    _replace_check("attempt", "state_known", ATTEMPT_STATES)
    _add_checks("attempt", {"one_work_item": ONE_WORK_ITEM})
    op.create_index("ix_attempt_callback_id", "attempt", ["callback_id"], **_where("callback_id IS NOT NULL"))
    op.create_index("uq_attempt_live_callback", "attempt", ["callback_id"], unique=True, **_where(LIVE))


def _narrow_attempt() -> None:
    op.drop_index("uq_attempt_live_callback", "attempt")
    op.drop_index("ix_attempt_callback_id", "attempt")
    _drop_checks("attempt", "one_work_item")
    checks = {"ended_iff_over": ENDED_IFF_OVER, "state_known": OLD_ATTEMPT_STATES}
    with op.batch_alter_table("attempt", **_remade("attempt", checks)) as table:
        table.drop_constraint("fk_attempt_callback_id", type_="foreignkey")
        table.alter_column("task_instance_id", existing_type=Key, nullable=False)
        table.drop_column("resources")
        table.drop_column("callback_id")
    _replace_check("attempt", "state_known", OLD_ATTEMPT_STATES)


def _forget_what_older_code_cannot_go_on_with() -> None:
    """Tasks that wait for a trigger or their next look begin that try again; callbacks that are not over are lost."""
    op.execute("DELETE FROM attempt WHERE callback_id IS NOT NULL")
    op.execute("UPDATE attempt SET state = 'released' WHERE state IN ('deferred', 'rescheduled')")
    op.execute(
        "UPDATE task_instance SET state = 'scheduled', due_at = NULL, "
        "reason = 'waited when the database was taken back to an older schema' "
        "WHERE state IN ('deferred', 'up_for_reschedule')"
    )


def _of_run_and_task(table: str) -> tuple[sa.ForeignKeyConstraint, sa.ForeignKeyConstraint]:
    """The foreign keys of a table whose rows go with their run and their task instance."""
    return (
        sa.ForeignKeyConstraint(["dag_run_id"], ["dag_run.id"], name=f"fk_{table}_dag_run_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["task_instance_id"], ["task_instance.id"], name=f"fk_{table}_task_instance_id", ondelete="CASCADE"
        ),
    )


def _remade(table: str, checks: dict[str, str]) -> dict[str, Any]:
    """How a batch makes ``table`` anew on SQLite: as it is, with ``checks``.

    Which checks and defaults are read from SQLite depends on the version of SQLAlchemy, so they are told.
    """
    if not _is_sqlite():
        return {}
    found = sa.Table(table, sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)
    for constraint in [one for one in found.constraints if isinstance(one, sa.CheckConstraint)]:
        found.constraints.discard(constraint)
    for column in found.columns:
        if isinstance(column.server_default, sa.DefaultClause):
            column.server_default.arg = sa.text(str(column.server_default.arg).strip("()"))
    for name, condition in checks.items():
        found.append_constraint(sa.CheckConstraint(condition, name=f"ck_{table}_{name}"))
    return {"copy_from": found, "recreate": "always"}


def _replace_check(table: str, name: str, condition: str) -> None:
    if not _is_sqlite():
        op.drop_constraint(f"ck_{table}_{name}", table, type_="check")
        op.create_check_constraint(f"ck_{table}_{name}", table, condition)


def _add_checks(table: str, checks: dict[str, str]) -> None:
    """Add checks where the table was not made anew with them."""
    if not _is_sqlite():
        for name, condition in checks.items():
            op.create_check_constraint(f"ck_{table}_{name}", table, condition)


def _drop_checks(table: str, *names: str) -> None:
    """Drop checks where the table is not made anew without them."""
    if not _is_sqlite():
        for name in names:
            op.drop_constraint(f"ck_{table}_{name}", table, type_="check")


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
