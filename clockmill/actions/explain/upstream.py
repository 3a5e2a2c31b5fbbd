"""A task of which nothing is decided yet."""

from __future__ import annotations

from clockmill.actions.explain.answer import Explanation, Subject
from clockmill.actions.explain.past import explain_past
from clockmill.serde import decode
from clockmill.state import FINISHED_TASK_STATES, Decision, Progress, RunState
from clockmill.storage.versions import version

_MOST_NAMED = 20


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
    answer.details = [f"{task.name} is {task.state}" for task in waiting[:_MOST_NAMED]]
    if len(waiting) > _MOST_NAMED:
        answer.details.append(f"and {len(waiting) - _MOST_NAMED} more")
