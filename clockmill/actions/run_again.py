"""Let a finished run run again, all of it, inside a transaction of the caller."""

from __future__ import annotations

from datetime import datetime

from clockmill.actions.change import do_to_runs
from clockmill.actions.rerun import Rerun
from clockmill.actions.selection import RunSelection
from clockmill.state import FINISHED_RUN_STATES
from clockmill.storage.engine import Connection
from clockmill.storage.runs import lock_runs


def run_again(connection: Connection, dag_run_id: int, now: datetime, *, actor: str) -> bool:
    """Clear every task of a run; a run that is not finished is left alone. Returns whether anything was cleared."""
    over = [run for run in lock_runs(connection, [dag_run_id]) if run.state in FINISHED_RUN_STATES]
    if not over:
        return False
    request = Rerun(runs=RunSelection(dag_id=over[0].dag_id, run_ids=(over[0].run_id,)))
    return do_to_runs(connection, request, over, now, actor=actor) > 0
