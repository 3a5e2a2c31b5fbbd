"""A task that runs, waits for its next try, or is finished."""

from __future__ import annotations

from clockmill.actions.explain.answer import Explanation, Subject, moment_text, named
from clockmill.actions.explain.workers import explain_offer, silence_of
from clockmill.serde import decode
from clockmill.state import FAILED_TASK_STATES, TaskState
from clockmill.storage.attempts import live_attempts_of_runs
from clockmill.storage.log_owners import hosts_of
from clockmill.storage.versions import version


def explain_retry(answer: Explanation, subject: Subject) -> None:
    """Its last try failed, and the next is due later."""
    row = subject.row
    answer.verdict = f"Try {row.try_number} of {row.max_tries} failed; the next is due at {moment_text(row.due_at)}."
    answer.details = [row.reason] if row.reason else []
    answer.details.append(_spacing(subject))
    answer.changes_at = row.due_at


def _spacing(subject: Subject) -> str:
    """By which arguments of the task its tries are spaced, unless the task or its policy said otherwise."""
    task = decode(version(subject.connection, subject.run.version_id).document).task(subject.row.task_id)
    told = f"retry_delay is {task.retry_delay:g} s"
    if task.retry_backoff > 1:
        told += f", times {task.retry_backoff:g} from try to try"
    if task.max_retry_delay is not None:
        told += f", at most {task.max_retry_delay:g} s"
    if task.retry_jitter:
        told += f", up to {task.retry_jitter:.0%} of it taken off at random"
    return f"By its own arguments: {told}."


def explain_attempt(answer: Explanation, subject: Subject) -> None:
    """It runs, or is being stopped."""
    row = subject.row
    live = live_attempts_of_runs(subject.connection, [subject.run.id])
    attempt = next((each for each in live if each.task_instance_id == row.id), None)
    if row.state is TaskState.RESTARTING:
        answer.verdict = "It was cleared while it ran; it starts again when its processes are gone."
    elif attempt is not None and attempt.claimed_at is None and explain_offer(answer, subject, attempt.id):
        return
    else:
        began = row.start_date or (attempt.claimed_at if attempt else None)
        answer.verdict = f"It is running since {moment_text(began)}."
    if attempt is not None:
        host = hosts_of(subject.connection, [attempt.id]).get(attempt.id)
        answer.details = [f"attempt {attempt.id}, try {attempt.try_number}" + (f", on {host}" if host else "")]
        held_by = attempt.supervisor_id
        if held_by:
            answer.details[0] += f" by {held_by}"
        if held_by and (silent := silence_of(subject.connection, held_by, subject.now, subject.workers)):
            answer.details.insert(0, silent)


def explain_end(answer: Explanation, subject: Subject) -> None:
    """It is finished."""
    row = subject.row
    answer.verdict = f"It is finished: {row.state}" + (f" at {moment_text(row.end_date)}." if row.end_date else ".")
    answer.details = [row.reason] if row.reason else []
    if row.state is TaskState.UPSTREAM_FAILED:
        graph = decode(version(subject.connection, subject.run.version_id).document).graph()
        above = graph[row.task_id].upstream if row.task_id in graph else ()
        failed = [task for task in subject.tasks if task.task_id in above and task.state in FAILED_TASK_STATES]
        answer.details += named(failed)
