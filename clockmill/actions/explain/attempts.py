"""A task that runs, waits for its next try, or is finished."""

from __future__ import annotations

from clockmill.actions.explain.answer import Explanation, Subject, moment_text
from clockmill.state import TaskState
from clockmill.storage.attempts import live_attempts_of_runs


def explain_retry(answer: Explanation, subject: Subject) -> None:
    """Its last try failed, and the next is due later."""
    row = subject.row
    answer.verdict = f"Try {row.try_number} of {row.max_tries} failed; the next is due at {moment_text(row.due_at)}."
    answer.details = [row.reason] if row.reason else []
    answer.changes_at = row.due_at


def explain_attempt(answer: Explanation, subject: Subject) -> None:
    """It runs, or is being stopped."""
    row = subject.row
    live = live_attempts_of_runs(subject.connection, [subject.run.id])
    attempt = next((each for each in live if each.task_instance_id == row.id), None)
    if row.state is TaskState.RESTARTING:
        answer.verdict = "It was cleared while it ran; it starts again when its processes are gone."
    else:
        began = row.start_date or (attempt.claimed_at if attempt else None)
        answer.verdict = f"It is running since {moment_text(began)}."
    if attempt is not None:
        answer.details = [f"attempt {attempt.id}, try {attempt.try_number}, supervisor {attempt.supervisor_id}"]


def explain_end(answer: Explanation, subject: Subject) -> None:
    """It is finished."""
    row = subject.row
    answer.verdict = f"It is finished: {row.state}" + (f" at {moment_text(row.end_date)}." if row.end_date else ".")
    answer.details = [row.reason] if row.reason else []
