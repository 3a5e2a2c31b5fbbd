"""Why a task has not run: what it waits for, which limit is full and who holds it, or when it is due.

Each module gives the reasons of one subject; this one finds the task and chooses by its state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime

from clockmill.actions.explain.answer import Explanation, Holder, Subject
from clockmill.actions.explain.attempts import explain_attempt, explain_end, explain_retry
from clockmill.actions.explain.deadlines import add_deadlines
from clockmill.actions.explain.limits import explain_limits
from clockmill.actions.explain.runs import explain_queued_run
from clockmill.actions.explain.services import service_gone
from clockmill.actions.explain.upstream import explain_upstream
from clockmill.actions.explain.waiting import explain_deferral, explain_reschedule
from clockmill.config.settings import WorkersSettings
from clockmill.errors import NoSuchInstance, NotFound
from clockmill.state import BUSY_TASK_STATES, FINISHED_TASK_STATES, RunState, TaskState
from clockmill.storage.engine import Connection
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.run_extras import TaskBrief, task_briefs
from clockmill.storage.run_pages import find_task
from clockmill.storage.runs import active_runs, find_run
from clockmill.storage.versions import dag_state

__all__ = ["Explanation", "Holder", "Subject", "explain"]

#: Of several instances, one in the first of these states is explained: what waits, then what runs, then what is over.
_TELLING = (
    TaskState.SCHEDULED,
    TaskState.NONE,
    TaskState.UP_FOR_RETRY,
    TaskState.UP_FOR_RESCHEDULE,
    TaskState.DEFERRED,
    TaskState.RESTARTING,
    TaskState.QUEUED,
    TaskState.RUNNING,
    TaskState.FAILED,
    TaskState.UPSTREAM_FAILED,
    TaskState.SKIPPED,
    TaskState.SUCCESS,
    TaskState.REMOVED,
)


def explain(
    connection: Connection,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int = -1,
    *,
    default_executor: str = "",
    executors: Collection[str] = (),
    now: datetime | None = None,
    workers: WorkersSettings | None = None,
) -> Explanation:
    """Why a task instance is where it is.

    :param map_index: which instance of a mapped task; with -1, the first that is not finished.
    :param default_executor: the one for tasks that name none; without, all slots count for those.
    :param executors: those that the settings name; without, none is said to be missing there.
    :param now: when it is asked; without it, nobody counts as silent.
    :param workers: how often workers have to be heard of.
    :raises NotFound: when there is no such DAG, run, task or instance.
    """
    dag = dag_state(connection, dag_id)
    run = find_run(connection, dag_id, run_id)
    if run is None:
        raise NotFound("run", run_id, (row.run_id for row in active_runs(connection, dag_id)))
    tasks = task_briefs(connection, run.id)
    row = _row(connection, run, _instance(tasks, task_id, map_index))
    answer = Explanation(dag_id=dag_id, run_id=run_id, task_id=task_id, state=row.state)
    subject = Subject(
        connection=connection,
        dag=dag,
        run=run,
        row=row,
        tasks=tasks,
        default_executor=default_executor,
        executors=executors,
        now=now,
        workers=workers or WorkersSettings(),
    )
    _fill(answer, subject)
    _mind_the_scheduler(answer, subject)
    if row.map_index != map_index:
        answer.details.insert(0, _one_of_many(subject))
    add_deadlines(answer, subject)
    return answer


def _row(connection: Connection, run: RunRow, brief: TaskBrief) -> TaskRow:
    row = find_task(connection, run.id, brief.task_id, brief.map_index)
    if row is None:
        raise NotFound("task", brief.name)
    return row


def _instance(tasks: Sequence[TaskBrief], task_id: str, map_index: int) -> TaskBrief:
    """The one that is meant; of a mapped task without a map index, the one that tells most about why it is not done."""
    named = [task for task in tasks if task.task_id == task_id]
    if not named:
        raise NotFound("task", task_id, (task.task_id for task in tasks))
    chosen = [task for task in named if task.map_index == map_index]
    instances = [task for task in named if task.map_index >= 0]
    if not chosen and not (map_index < 0 and instances):
        raise NoSuchInstance(task_id, map_index, len(instances))
    return chosen[0] if chosen else min(instances, key=lambda task: (_TELLING.index(task.state), task.map_index))


def _one_of_many(subject: Subject) -> str:
    """That it is one of several instances, and how those are."""
    row = subject.row
    states = Counter(task.state for task in subject.tasks if task.task_id == row.task_id)
    told = ", ".join(f"{states[state]} {state}" for state in _TELLING if states[state])
    return f"This is the instance {row.map_index} of {states.total():,}: {told}."


def _mind_the_scheduler(answer: Explanation, subject: Subject) -> None:
    """Without a scheduler nothing goes on; of a task that could begin, that is among the reasons already."""
    if subject.row.state in FINISHED_TASK_STATES or subject.row.state is TaskState.SCHEDULED:
        return
    if gone := service_gone(subject, "scheduler"):
        answer.details.insert(0, gone)


def _fill(answer: Explanation, subject: Subject) -> None:
    match subject.row.state:
        case TaskState.NONE if subject.run.state is RunState.QUEUED:
            explain_queued_run(answer, subject)
        case TaskState.NONE:
            explain_upstream(answer, subject)
        case TaskState.SCHEDULED:
            explain_limits(answer, subject)
        case TaskState.UP_FOR_RETRY:
            explain_retry(answer, subject)
        case TaskState.DEFERRED:
            explain_deferral(answer, subject)
        case TaskState.UP_FOR_RESCHEDULE:
            explain_reschedule(answer, subject)
        case state if state in BUSY_TASK_STATES:
            explain_attempt(answer, subject)
        case _:
            explain_end(answer, subject)
