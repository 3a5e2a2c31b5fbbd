"""A task that gave its slot back and goes on later in the same try."""

from __future__ import annotations

from clockmill.actions.explain.answer import Explanation, Subject, moment_text
from clockmill.storage.components import list_components
from clockmill.storage.triggers import find_wait


def explain_deferral(answer: Explanation, subject: Subject) -> None:
    """It waits for a trigger."""
    row = subject.row
    wait = find_wait(subject.connection, row.id)
    if wait is None:
        answer.verdict = "It waited for a trigger, and goes on at once."
        return
    kind = wait.class_path.rpartition(".")[2]
    answer.verdict = f"It waits for the trigger {kind} since {moment_text(wait.created_at)}, without a slot."
    if wait.fired_at is not None:
        answer.verdict = f"Its trigger {kind} fired at {moment_text(wait.fired_at)}; the scheduler takes it up."
    elif wait.triggerer is not None:
        answer.details.append(f"triggerer {wait.triggerer} runs {wait.class_path}")
    elif any(component.name == "triggerer" for component in list_components(subject.connection)):
        answer.details.append("No triggerer has room for it yet: see [triggerer] capacity, or start another one.")
    else:
        answer.details.append("No triggerer is there to run it: start clockmill triggerer.")
    if wait.timeout_at is not None:
        answer.details.append(f"After {moment_text(wait.timeout_at)} it waits no more, and fails.")
    answer.changes_at = wait.timeout_at


def explain_reschedule(answer: Explanation, subject: Subject) -> None:
    """It looks again later."""
    row = subject.row
    since = f", since {moment_text(row.first_start)}" if row.first_start else ""
    answer.verdict = f"It looks again at {moment_text(row.due_at)}, without a slot until then."
    answer.details = [f"It has looked {row.reschedules} times in vain in try {row.try_number}{since}."]
    answer.changes_at = row.due_at
