"""A run of a backfill that has not begun."""

from __future__ import annotations

from clockmill.actions.backfill_progress import step_of
from clockmill.actions.explain.answer import Explanation, Holder, Subject
from clockmill.state import BackfillState
from clockmill.storage.backfills import BackfillRow, find_backfill, running_runs


def explain_backfill(answer: Explanation, subject: Subject) -> None:
    """Its backfill is held back, has as many runs going as it may, or lets its canary go first.

    Gives no verdict when the backfill lets it begin, so that only its DAG can be in the way.
    """
    ident = subject.run.backfill_id
    row = None if ident is None else find_backfill(subject.connection, ident)
    if row is None:
        return
    if row.state is BackfillState.PAUSED:
        answer.verdict = (
            f"The backfill {row.id} is paused: {row.reason}. 'clockmill backfill resume {row.id}' lets it go on."
        )
    elif row.state is BackfillState.CANCELLED and not row.is_settled:
        answer.verdict = f"The backfill {row.id} was cancelled; the run is about to be taken back."
    elif row.state is BackfillState.RUNNING and not row.is_settled:
        answer.verdict = f"The runs of backfill {row.id} are being made; they begin when all of them are there."
    elif row.state is BackfillState.RUNNING:
        _explain_turn(answer, subject, row)


def _explain_turn(answer: Explanation, subject: Subject, row: BackfillRow) -> None:
    step = step_of(subject.connection, row)
    if step.pause:
        answer.verdict = f"The backfill {row.id} is about to pause: {step.pause}."
    elif step.begin == 0:
        others = running_runs(subject.connection, row.id)
        answer.holders = [Holder(what=run_id, since=since) for run_id, since in others]
        if row.max_active_runs is not None and len(others) >= row.max_active_runs:
            answer.verdict = (
                f"The run waits for its turn: {len(others)} of max_active_runs={row.max_active_runs} of "
                f"backfill {row.id} are running."
            )
        else:
            answer.verdict = f"The run waits until the canary of backfill {row.id}, its first {row.canary}, succeeded."
