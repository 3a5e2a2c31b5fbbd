"""``backfill``: runs of a DAG for a stretch of the past."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app
from clockmill.cli.output import counted, output_option, show_record, show_rows, warn
from clockmill.cli.params import conf_option, to_day_or_moment, to_failures
from clockmill.state import FINISHED_RUN_STATES, BackfillState, RunState
from clockmill.state.backfill import ReprocessBehavior

if TYPE_CHECKING:
    from clockmill.actions.backfill import BackfillPreview
    from clockmill.actions.backfill_progress import BackfillProgress
    from clockmill.storage.backfills import BackfillRow

_PAGE = 100
_LIST = ["id", "dag_id", "state", "from_date", "to_date", "runs", "finished", "failed", "created_at", "reason"]
_DATES = ["logical_date", "run_id", "action", "reason"]
_SETTINGS = (
    "max_active_runs",
    "run_backwards",
    "reprocess_behavior",
    "task_regex",
    "conf",
    "canary",
    "stop_at",
    "created_at",
    "created_by",
    "ended_at",
)

ident_argument = click.argument("ident", metavar="ID", type=click.IntRange(1, 2**63 - 1))


@click.group(cls=Group)
def backfill() -> None:
    """Run a DAG for a stretch of the past, and steer that."""


@backfill.command()
@click.argument("dag_id")
@click.option("--from", "first", required=True, callback=to_day_or_moment, metavar="DATE", help="The first date.")
@click.option(
    "--to",
    "last",
    required=True,
    callback=to_day_or_moment,
    metavar="DATE",
    help="The last date, included; a day without a time is the whole day. Both are in the DAG's zone.",
)
@click.option("--max-active-runs", type=click.IntRange(1), help="How many run at a time, within the DAG's own limit.")
@click.option("--run-backwards", is_flag=True, help="Begin with the last date.")
@click.option(
    "--reprocess-behavior",
    type=click.Choice([each.value for each in ReprocessBehavior]),
    default=ReprocessBehavior.NONE.value,
    show_default=True,
    help="Which dates that have a run already are run again.",
)
@click.option("--tasks", default="", metavar="REGEX", help="Only the tasks in whose ids this is found.")
@conf_option
@click.option("--canary", type=click.IntRange(1), metavar="N", help="Run so many first; the others if they succeed.")
@click.option(
    "--stop-at", callback=to_failures, metavar="FAILURES", help="Pause at so many failed runs: 5, or 10% of all."
)
@click.option("--dry-run", is_flag=True, help="Only list the dates and what would become of them.")
@click.option("--wait", is_flag=True, help="Wait for the end; exit 1 unless all of it succeeds.")
@output_option
@click.pass_context
def create(
    context: click.Context, /, conf: dict[str, Any] | None, dry_run: bool, wait: bool, output: str, **options: Any
) -> None:
    """Ask for runs of a DAG from one date to another; prints the id of the backfill."""
    from clockmill.actions.backfill import BackfillRequest, preview_backfill, request_backfill

    app = context.find_object(App) or App()
    behavior = ReprocessBehavior(options.pop("reprocess_behavior"))
    request = BackfillRequest(conf=conf or {}, reprocess_behavior=behavior, **options)
    if dry_run:
        preview = app.read(lambda connection: preview_backfill(connection, request, app.clock.now()))
        _show_dates(preview, output)
        _warn_of_another(app, preview)
        return
    done = request_backfill(app.database, app.clock, request, actor=app.actor)
    app.wake()
    _warn_of(done.preview)
    if output == "table":
        click.echo(done.id)
    else:
        show_record({"id": done.id, "dag_id": request.dag_id, **_summary(done.preview)}, output)
    if wait:
        from clockmill.cli.backfill_wait import follow_backfill

        context.exit(follow_backfill(app, done.id))


@backfill.command("list")
@click.argument("dag_id", required=False)
@click.option("--state", type=click.Choice([each.value for each in BackfillState]), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), help="Only so many, the newest.")
@output_option
@pass_app
def list_all(app: App, dag_id: str | None, state: str | None, limit: int | None, output: str) -> None:
    """List backfills, of one DAG or of all, newest first."""
    if dag_id is not None:
        app.read(lambda connection: lookup.the_dag(connection, dag_id))
    rows = list(islice(_all_backfills(app, dag_id, state), limit))
    show_rows(_lines(app, rows), _LIST, output)


@backfill.command()
@ident_argument
@output_option
@pass_app
def show(app: App, ident: int, output: str) -> None:
    """Show a backfill, and how many of its runs are in which state."""
    show_record(_record(_progress(app, ident)), output)


@backfill.command()
@ident_argument
@pass_app
def pause(app: App, ident: int) -> None:
    """Let no more runs of a backfill begin; what runs goes on."""
    from clockmill.actions.backfill_steer import pause_backfill

    pause_backfill(app.database, app.clock, ident, actor=app.actor)
    click.echo(f"The backfill {ident} is paused.")


@backfill.command()
@ident_argument
@click.option("--rerun-failed", is_flag=True, help="Run its failed runs again, too; what succeeded in them stays.")
@pass_app
def resume(app: App, ident: int, rerun_failed: bool) -> None:
    """Let a backfill go on with what is left."""
    from clockmill.actions.backfill_steer import resume_backfill

    resume_backfill(app.database, app.clock, ident, actor=app.actor, rerun_failed=rerun_failed)
    app.wake()
    progress = _progress(app, ident)
    left = progress.runs[RunState.QUEUED] + progress.runs[RunState.RUNNING]
    click.echo(f"The backfill {ident} goes on: {counted(left, 'run')} left of {progress.total}.")
    if progress.runs[RunState.FAILED]:
        failed = counted(progress.runs[RunState.FAILED], "failed run")
        warn(f"{failed} left alone; --rerun-failed repeats what failed.")


@backfill.command()
@ident_argument
@pass_app
def cancel(app: App, ident: int) -> None:
    """End a backfill: runs that have not begun never do; what runs is left to finish."""
    from clockmill.actions.backfill_steer import cancel_backfill

    cancel_backfill(app.database, app.clock, ident, actor=app.actor)
    app.wake()
    click.echo(f"The backfill {ident} is cancelled.")


def _show_dates(preview: BackfillPreview, output: str) -> None:
    rows = [
        {
            "logical_date": each.tick.logical_date,
            "run_id": each.run_id,
            "action": each.action.value,
            "reason": each.reason,
        }
        for each in preview.dates
    ]
    show_rows(rows, _DATES, output)
    told = ", ".join(f"{number} {action}" for action, number in preview.counts.items())
    click.echo(f"{counted(len(preview.dates), 'date')}: {told}.", err=True)
    _warn_of(preview)


def _warn_of_another(app: App, preview: BackfillPreview) -> None:
    from clockmill.storage.backfills import overlapping_backfill

    dag_id = preview.request.dag_id
    other = app.read(lambda connection: overlapping_backfill(connection, dag_id, preview.first, preview.last))
    if other is not None:
        warn(f"The backfill {other.id} is {other.state} and has some of these dates: until it is over, no other can.")


def _warn_of(preview: BackfillPreview) -> None:
    from clockmill.actions.backfill_dates import DateAction

    dag_id = preview.request.dag_id
    if preview.is_paused:
        warn(f"The DAG {dag_id!r} is paused: no run begins until 'clockmill dags unpause {dag_id}'.")
    if preview.counts[DateAction.LEFT] == len(preview.dates):
        warn("All of these dates are left as they are; --reprocess-behavior runs them again.")


def _summary(preview: BackfillPreview) -> dict[str, Any]:
    counts = {action.value: number for action, number in preview.counts.items()}
    return {"from_date": preview.first, "to_date": preview.last, "dates": len(preview.dates), **counts}


def _all_backfills(app: App, dag_id: str | None, state: str | None) -> Iterator[BackfillRow]:
    from clockmill.storage.backfill_pages import list_backfills

    states = [state] if state else []
    return app.pages(
        lambda connection, before: list_backfills(connection, dag_id=dag_id, states=states, before=before, limit=_PAGE),
        lambda row: row.id,
    )


def _lines(app: App, rows: list[BackfillRow]) -> list[dict[str, Any]]:
    from clockmill.storage.backfill_pages import count_states

    counts = app.read(partial(count_states, ids=[row.id for row in rows]))
    return [
        {
            **{name: getattr(row, name) for name in _LIST if hasattr(row, name)},
            "runs": sum(counts[row.id].values()),
            "finished": sum(counts[row.id][state] for state in FINISHED_RUN_STATES),
            "failed": counts[row.id][RunState.FAILED],
        }
        for row in rows
    ]


def _progress(app: App, ident: int) -> BackfillProgress:
    from clockmill.cli.backfill_wait import progress_now

    return progress_now(app, ident)


def _record(progress: BackfillProgress) -> dict[str, Any]:
    row = progress.row
    return {
        "id": row.id,
        "dag_id": row.dag_id,
        "state": row.state,
        "reason": row.reason,
        "from_date": row.from_date,
        "to_date": row.to_date,
        "is_settled": row.is_settled,
        "runs": progress.total,
        **{state.value: number for state, number in progress.runs.items()},
        "ends_at": progress.ends_at,
        **{name: getattr(row, name) for name in _SETTINGS},
    }
