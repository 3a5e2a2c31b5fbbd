"""A run that has not begun."""

from __future__ import annotations

from clockmill.actions.explain.answer import Explanation, Holder, Subject
from clockmill.actions.explain.backfills import explain_backfill
from clockmill.clock import iso
from clockmill.state import RunState
from clockmill.storage.failures import why_paused
from clockmill.storage.overlaps import dags_being_cancelled, ending_tasks
from clockmill.storage.runs import active_runs


def explain_queued_run(answer: Explanation, subject: Subject) -> None:
    """Its DAG is paused, its backfill holds it back, it is due later, or the DAG has as many runs going as it may."""
    dag_id, dag = subject.run.dag_id, subject.dag
    if dag.is_paused:
        answer.verdict = f"The DAG is paused; 'clockmill dags unpause {dag_id}' lets its runs begin."
        answer.details = list(filter(None, [why_paused(subject.connection, dag_id)]))
        return
    explain_backfill(answer, subject)
    if answer.verdict:
        return
    if dags_being_cancelled(subject.connection, [dag_id]):
        answer.verdict = "The run begins when nothing is left of the run that was cancelled for it (overlap=cancel)."
        ending = ending_tasks(subject.connection, dag_id)
        answer.holders = [Holder(what=f"{run_id} {task_id}", since=since) for run_id, task_id, since in ending]
        return
    others = [other for other in active_runs(subject.connection, dag_id) if other.state is RunState.RUNNING]
    if len(others) < dag.max_active_runs and subject.run.backfill_id is None:
        answer.verdict = f"The run may begin at {iso(subject.run.run_after)}."
        answer.changes_at = subject.run.run_after
        return
    answer.verdict = f"The run waits for its turn: {len(others)} of max_active_runs={dag.max_active_runs} are running."
    answer.details = [subject.run.reason] if subject.run.reason else []
    answer.holders = [Holder(what=other.run_id, since=other.start_date) for other in others]
