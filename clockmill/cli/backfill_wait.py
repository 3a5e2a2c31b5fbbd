"""Waiting for a backfill, with its progress drawn on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clockmill.actions.backfill_progress import BackfillProgress, progress_of
from clockmill.actions.backfill_steer import the_backfill
from clockmill.cli.base import EXIT_FAILED
from clockmill.cli.progress import drawing
from clockmill.state import BackfillState

if TYPE_CHECKING:
    from clockmill.cli.app import App

_LOOK_SECONDS = 0.3
_EXIT_INTERRUPTED = 130


def follow_backfill(app: App, ident: int) -> int:
    """Wait until a backfill is over, or held back until somebody resumes it; returns the exit status."""
    try:
        row = _until_it_rests(app, ident).row
    except KeyboardInterrupt:
        click.echo(f"The backfill {ident} goes on without you; see 'clockmill backfill show {ident}'.", err=True)
        return _EXIT_INTERRUPTED
    why = f": {row.reason}" if row.reason else ""
    click.echo(f"The backfill {ident} ended: {row.state}{why}." if row.ended_at else _held_back(ident, why), err=True)
    return 0 if row.state is BackfillState.SUCCESS else EXIT_FAILED


def _held_back(ident: int, why: str) -> str:
    return f"The backfill {ident} is paused{why}. Go on with 'clockmill backfill resume {ident}'."


def _until_it_rests(app: App, ident: int) -> BackfillProgress:
    with drawing() as draw:
        while True:
            progress = progress_now(app, ident)
            draw(_title(progress), {state.value: number for state, number in progress.runs.items() if number})
            if progress.row.state is not BackfillState.RUNNING:
                return progress
            app.clock.sleep(_LOOK_SECONDS)


def _title(progress: BackfillProgress) -> str:
    row = progress.row
    until = f", until about {progress.ends_at.astimezone():%Y-%m-%d %H:%M:%S}" if progress.ends_at else ""
    made = "" if row.is_settled else ", its runs are being made"
    return f"backfill {row.id} of {row.dag_id} {row.state}{made}{until}"


def progress_now(app: App, ident: int) -> BackfillProgress:
    """How a backfill stands.

    :raises NotFound: when there is none.
    """
    now = app.clock.now()
    return app.read(lambda connection: progress_of(connection, the_backfill(connection, ident), now))
