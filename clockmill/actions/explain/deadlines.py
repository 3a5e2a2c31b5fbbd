"""The deadlines that a task instance and its run have to meet."""

from __future__ import annotations

from clockmill.actions.explain.answer import Explanation, Subject, moment_text
from clockmill.storage.deadlines import DeadlineRow, deadlines_of_run


def add_deadlines(answer: Explanation, subject: Subject) -> None:
    """Say which deadlines are open, at risk or missed; those that were met are nobody's worry."""
    ids = {row.id for row in subject.tasks if row.task_id == subject.row.task_id}
    for row in deadlines_of_run(subject.connection, subject.run.id):
        if row.met_at is None and (row.task_instance_id is None or row.task_instance_id in ids):
            answer.details.append(_sentence(row))


def _sentence(row: DeadlineRow) -> str:
    what = f"The deadline {row.name!r} of its run" if row.task_instance_id is None else "Its own deadline"
    if row.missed_at is not None:
        return f"{what} was missed: it was due at {moment_text(row.due_at)}."
    if row.warned_at is not None:
        return f"{what} is at risk: it is due at {moment_text(row.due_at)}, and the usual time no longer suffices."
    return f"{what} is due at {moment_text(row.due_at)}."
