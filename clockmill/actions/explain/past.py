"""A task that could go on if the run before its own had come further."""

from __future__ import annotations

from clockmill.actions.explain.answer import Explanation, Holder, Subject
from clockmill.actions.past import PastGate, past_rules
from clockmill.serde import Document
from clockmill.state import GOOD_TASK_STATES, Decision, RunState
from clockmill.storage.runs import load_tasks


def explain_past(answer: Explanation, subject: Subject, document: Document, decision: Decision) -> bool:
    """It waits for the run before; whether that is so."""
    gate = PastGate(subject.connection, subject.run, past_rules(document))
    verdict = gate(subject.row.task_id, decision)
    before = gate.previous
    if verdict is None or before is None:
        return False
    names = gate.held[subject.row.task_id]
    tasks = [task for task in load_tasks(subject.connection, before.id) if task.task_id in names]
    pending = [task for task in tasks if task.state not in GOOD_TASK_STATES]
    answer.verdict = f"It waits: {verdict.reason}."
    answer.holders = [
        Holder(what=f"{before.run_id} {task.name} ({task.state})", since=task.start_date) for task in pending
    ]
    if before.state is RunState.QUEUED:
        answer.details.append(f"The run {before.run_id} is queued: it has not begun, or was cleared.")
    elif before.state is not RunState.RUNNING:
        answer.details.append(f"The run {before.run_id} is over: clear or mark what holds this one back.")
    return True
