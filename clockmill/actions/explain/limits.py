"""A task that may run and waits for a limit."""

from __future__ import annotations

from clockmill.actions.explain.answer import Explanation, Subject, holders_of, moment_text
from clockmill.state import LimitKey, LimitKind
from clockmill.storage.attempts import live_holders, usage
from clockmill.storage.pools import pool_slots
from clockmill.storage.supervisors import slots_of


def explain_limits(answer: Explanation, subject: Subject) -> None:
    """Its DAG is paused, or one of its limits is full."""
    connection, run, row = subject.connection, subject.run, subject.row
    if subject.dag.is_paused:
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
        answer.holders = holders_of(live_holders(connection, pool_name=row.pool))
    elif run_used >= run.max_active_tasks:
        answer.verdict = f"The run is at its limit: {run_used} of max_active_tasks={run.max_active_tasks} tasks run."
    elif slots == 0:
        answer.verdict = "No executor is there: no scheduler is running, or it has just begun."
    elif busy >= slots:
        answer.verdict = f"Every slot of the executor is taken: {busy} of {slots}."
        answer.holders = holders_of(live_holders(connection))
    else:
        answer.verdict = "Nothing holds it back; it starts within a moment."
    answer.details = [f"scheduled since {moment_text(row.scheduled_at)}, priority {row.priority}"]
