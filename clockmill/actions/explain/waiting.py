"""A task that gave its slot back and goes on later in the same try."""

from __future__ import annotations

from datetime import UTC, datetime

from clockmill.actions.explain.answer import Explanation, Subject, moment_text
from clockmill.actions.explain.services import is_silent, service_gone
from clockmill.storage.triggers import Wait, find_wait
from clockmill.triggers.temporal import DateTimeTrigger
from clockmill.xcom import decode

_OF_A_MOMENT = f"{DateTimeTrigger.__module__}.{DateTimeTrigger.__qualname__}"


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
    else:
        answer.details += _who_runs(subject, wait)
    if wait.timeout_at is not None:
        answer.details.append(f"After {moment_text(wait.timeout_at)} it waits no more, and fails.")
    moment = _moment_of(wait)
    if moment is not None and wait.fired_at is None:
        answer.details.insert(0, f"It waits until {moment_text(moment)}.")
    answer.changes_at = min(filter(None, (moment, wait.timeout_at)), default=None)


def _who_runs(subject: Subject, wait: Wait) -> list[str]:
    """Which triggerer has the trigger, or why none has."""
    gone = service_gone(subject, "triggerer")
    if wait.triggerer is None:
        return [gone or "No triggerer has room for it yet: see [triggerer] capacity, or start another one."]
    if not is_silent(subject, "triggerer", wait.triggerer):
        return [f"triggerer {wait.triggerer} runs {wait.class_path}"]
    ran = f"triggerer {wait.triggerer} ran {wait.class_path}, and is not heard of any more"
    return [gone, ran] if gone else [f"{ran}; another one takes it over"]


def _moment_of(wait: Wait) -> datetime | None:
    """When the trigger fires, where it waits for nothing but a moment."""
    if wait.class_path != _OF_A_MOMENT:
        return None
    return DateTimeTrigger(**decode(wait.kwargs)).moment.astimezone(UTC)


def explain_reschedule(answer: Explanation, subject: Subject) -> None:
    """It looks again later."""
    row = subject.row
    since = f", since {moment_text(row.first_start)}" if row.first_start else ""
    answer.verdict = f"It looks again at {moment_text(row.due_at)}, without a slot until then."
    times = "once" if row.reschedules == 1 else f"{row.reschedules:,} times"
    answer.details = [f"It has looked {times} in vain in try {row.try_number}{since}."]
    answer.changes_at = row.due_at
