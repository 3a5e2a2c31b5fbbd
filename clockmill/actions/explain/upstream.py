"""A task of which nothing is decided yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from clockmill.actions.explain.answer import MOST_NAMED, Explanation, Subject, named
from clockmill.actions.explain.past import explain_past
from clockmill.serde import decode
from clockmill.state import FINISHED_TASK_STATES, Decision, Progress, RunState, TaskState
from clockmill.storage.run_extras import TaskBrief
from clockmill.storage.run_pages import find_task
from clockmill.storage.versions import version

_TIMED = frozenset({TaskState.UP_FOR_RETRY, TaskState.UP_FOR_RESCHEDULE})


def explain_upstream(answer: Explanation, subject: Subject) -> None:
    """It waits for tasks above it, by its trigger rule."""
    run, tasks, task_id = subject.run, subject.tasks, subject.row.task_id
    if run.state is not RunState.RUNNING:
        answer.verdict = f"The run is over ({run.state}) and this task was never decided."
        return
    document = decode(version(subject.connection, run.version_id).document)
    graph = document.graph()
    states = {task.key: task.state for task in tasks}
    left_out = [(task.key, task.leaves_out) for task in tasks if task.leaves_out]
    verdict = Progress(graph, states, left_out).verdict(subject.row.key)
    if verdict.decision is not Decision.WAIT and explain_past(answer, subject, document, verdict.decision):
        return
    above = graph[task_id].upstream
    waiting = [task for task in tasks if task.task_id in above and task.state not in FINISHED_TASK_STATES]
    answer.verdict = f"It waits for upstream tasks: {verdict.reason}."
    answer.details = named(waiting)
    answer.changes_at = _next_due(subject, waiting)


def _next_due(subject: Subject, waiting: Sequence[TaskBrief]) -> datetime | None:
    """When the first of the tasks that it waits for goes on by itself, of those that wait for a time."""
    timed = [task for task in waiting if task.state in _TIMED][:MOST_NAMED]
    rows = [find_task(subject.connection, subject.run.id, task.task_id, task.map_index) for task in timed]
    return min((row.due_at for row in rows if row is not None and row.due_at is not None), default=None)
