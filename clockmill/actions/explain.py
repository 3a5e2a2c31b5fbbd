"""Why a task has not run: what it waits for, which limit is full and who holds it, or when it is due."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from clockmill.clock import iso
from clockmill.errors import NotFound
from clockmill.serde import decode
from clockmill.state import FINISHED_TASK_STATES, LimitKey, LimitKind, Progress, RunState, TaskState
from clockmill.storage.attempts import live_attempts_of_runs, live_holders, usage
from clockmill.storage.engine import Connection
from clockmill.storage.pools import pool_slots
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.runs import active_runs, find_run, load_tasks
from clockmill.storage.supervisors import slots_of
from clockmill.storage.versions import dag_state, version


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Somebody who has what the task waits for."""

    what: str
    since: datetime | None


@dataclass(slots=True, kw_only=True)
class Explanation:
    """The answer, for one screen.

    :param verdict: one sentence.
    :param details: more sentences, most important first.
    :param holders: who holds the limit that is full.
    :param changes_at: when something can change by itself, if that is known.
    """

    dag_id: str
    run_id: str
    task_id: str
    state: TaskState
    verdict: str = ""
    details: list[str] = field(default_factory=list)
    holders: list[Holder] = field(default_factory=list)
    changes_at: datetime | None = None


def explain(connection: Connection, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Explanation:
    """Why a task instance is where it is.

    :raises NotFound: when there is no such DAG, run or task.
    """
    dag_state(connection, dag_id)  # refuses a DAG that is not there
    run = find_run(connection, dag_id, run_id)
    if run is None:
        raise NotFound("run", run_id, (row.run_id for row in active_runs(connection, dag_id)))
    tasks = load_tasks(connection, run.id)
    row = next((task for task in tasks if (task.task_id, task.map_index) == (task_id, map_index)), None)
    if row is None:
        raise NotFound("task", task_id, (task.task_id for task in tasks))
    answer = Explanation(dag_id=dag_id, run_id=run_id, task_id=task_id, state=row.state)
    _fill(connection, answer, run, row, tasks)
    return answer


def _fill(connection: Connection, answer: Explanation, run: RunRow, row: TaskRow, tasks: Iterable[TaskRow]) -> None:
    match row.state:
        case TaskState.NONE if run.state is RunState.QUEUED:
            _explain_queued_run(connection, answer, run)
        case TaskState.NONE:
            _explain_upstream(connection, answer, run, row, tasks)
        case TaskState.SCHEDULED:
            _explain_limits(connection, answer, run, row)
        case TaskState.UP_FOR_RETRY:
            answer.verdict = f"Try {row.try_number} of {row.max_tries} failed; the next is due at {_text(row.due_at)}."
            answer.details = [row.reason] if row.reason else []
            answer.changes_at = row.due_at
        case TaskState.RUNNING | TaskState.QUEUED | TaskState.RESTARTING:
            _explain_attempt(connection, answer, run, row)
        case _:
            answer.verdict = f"It is finished: {row.state}" + (f" at {_text(row.end_date)}." if row.end_date else ".")
            answer.details = [row.reason] if row.reason else []


def _explain_queued_run(connection: Connection, answer: Explanation, run: RunRow) -> None:
    state = dag_state(connection, run.dag_id)
    if state.is_paused:
        answer.verdict = f"The DAG is paused; 'clockmill dags unpause {run.dag_id}' lets its runs begin."
        return
    others = [other for other in active_runs(connection, run.dag_id) if other.state is RunState.RUNNING]
    limit = state.max_active_runs
    answer.verdict = f"The run waits for its turn: {len(others)} of max_active_runs={limit} runs are running."
    answer.holders = [Holder(what=other.run_id, since=other.start_date) for other in others]


def _explain_upstream(
    connection: Connection, answer: Explanation, run: RunRow, row: TaskRow, tasks: Iterable[TaskRow]
) -> None:
    graph = decode(version(connection, run.version_id).document).graph()
    if run.state is not RunState.RUNNING:
        answer.verdict = f"The run is over ({run.state}) and this task was never decided."
        return
    states = {task.task_id: task.state for task in tasks}
    left_out = [name for task in tasks for name in task.leaves_out or ()]
    verdict = Progress(graph, states, left_out).verdict(row.task_id)
    waiting = [name for name in graph[row.task_id].upstream if states[name] not in FINISHED_TASK_STATES]
    answer.verdict = f"It waits for upstream tasks: {verdict.reason}."
    answer.details = [f"{name} is {states[name]}" for name in waiting]


def _explain_limits(connection: Connection, answer: Explanation, run: RunRow, row: TaskRow) -> None:
    if dag_state(connection, run.dag_id).is_paused:
        answer.verdict = f"The DAG is paused; 'clockmill dags unpause {run.dag_id}' lets its tasks go on."
        return
    in_use = usage(connection)
    pool_total = pool_slots(connection, row.pool)
    pool_used = in_use.get(LimitKey(LimitKind.POOL, row.pool), 0)
    run_used = in_use.get(LimitKey(LimitKind.RUN_TASKS, str(run.id)), 0)
    slots, busy = slots_of(connection)
    if pool_total is None:
        answer.verdict = f"Its pool {row.pool!r} does not exist; 'clockmill pools set {row.pool} SLOTS' makes it."
    elif pool_used + row.pool_slots > pool_total:
        answer.verdict = f"The pool {row.pool!r} is full: {pool_used} of {pool_total} slots in use."
        answer.holders = _holders(connection, row.pool)
    elif run_used >= run.max_active_tasks:
        answer.verdict = f"The run is at its limit: {run_used} of max_active_tasks={run.max_active_tasks} tasks run."
    elif slots == 0:
        answer.verdict = "No executor is there: no scheduler is running, or it has just begun."
    elif busy >= slots:
        answer.verdict = f"Every slot of the executor is taken: {busy} of {slots}."
        answer.holders = _holders(connection, None)
    else:
        answer.verdict = "Nothing holds it back; it starts within a moment."
    answer.details = [f"scheduled since {_text(row.scheduled_at)}, priority {row.priority}"]


def _explain_attempt(connection: Connection, answer: Explanation, run: RunRow, row: TaskRow) -> None:
    attempt = next((a for a in live_attempts_of_runs(connection, [run.id]) if a.task_instance_id == row.id), None)
    if row.state is TaskState.RESTARTING:
        answer.verdict = "It was cleared while it ran; it starts again when its processes are gone."
    else:
        answer.verdict = f"It is running since {_text(row.start_date or (attempt.claimed_at if attempt else None))}."
    if attempt is not None:
        answer.details = [f"attempt {attempt.id}, try {attempt.try_number}, supervisor {attempt.supervisor_id}"]


def _holders(connection: Connection, pool: str | None) -> list[Holder]:
    return [
        Holder(what=f"{row['dag_id']} {row['run_id']} {row['task_id']} ({row['pool_slots']} slots)", since=row["since"])
        for row in live_holders(connection, pool_name=pool)
    ]


def _text(moment: datetime | None) -> str:
    return "?" if moment is None else iso(moment)
