"""A task that may run and waits for a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from clockmill.actions.explain.answer import Explanation, Holder, Reason, Subject, holders_of, moment_text
from clockmill.actions.explain.resources import shortages
from clockmill.actions.explain.services import service_gone
from clockmill.actions.explain.workers import has_workers, worker_reasons
from clockmill.actions.missing_pools import way_out
from clockmill.errors import NotFound
from clockmill.storage.admission import count_before
from clockmill.storage.attempts import live_holders
from clockmill.storage.failures import why_paused
from clockmill.storage.pools import deferred_holders, get_pool, pool_names
from clockmill.storage.supervisors import slots_of


def explain_limits(answer: Explanation, subject: Subject) -> None:
    """Its DAG is paused, or one of its limits is full; the other limits that are full follow as details."""
    row = subject.row
    reasons = list(_reasons(subject))
    first = reasons[0] if reasons else Reason("Nothing holds it back; it starts within a moment.")
    answer.verdict = first.text
    answer.holders = first.holders()
    answer.details = [f"also: {reason.text}" for reason in reasons[1:]]
    lane = "after all live runs, " if row.lane else ""
    before = count_before(subject.connection, (row.lane, row.priority), row.dag_run_id, row.id)
    answer.details.append(
        f"scheduled since {moment_text(row.scheduled_at)}, {lane}priority {row.priority}, "
        f"{before} scheduled {'task goes' if before == 1 else 'tasks go'} before it"
    )


def _reasons(subject: Subject) -> Iterator[Reason]:
    if subject.dag.is_paused:
        yield Reason(f"The DAG is paused; 'clockmill dags unpause {subject.run.dag_id}' lets its tasks go on.")
        if why := why_paused(subject.connection, subject.run.dag_id):
            yield Reason(why)
    yield from _pool(subject)
    yield from _run(subject)
    yield from _task(subject)
    if gone := service_gone(subject, "scheduler"):
        yield Reason(gone)
    name = subject.row.executor or subject.default_executor
    if subject.executors and name not in subject.executors:
        yield Reason(f"[core] executor does not name its executor {name!r}, so no scheduler has it run.")
    yield from worker_reasons(subject, name) if has_workers(subject, name) else _executor(subject, name)
    yield from shortages(subject, name)


def _pool(subject: Subject) -> Iterator[Reason]:
    connection, name, wanted = subject.connection, subject.row.pool, subject.row.pool_slots
    try:
        pool = get_pool(connection, name)
    except NotFound:
        yield Reason(f"Its pool {name!r} does not exist.{way_out(name, pool_names(connection))}")
        return
    if wanted > pool.slots:
        yield Reason(
            f"It asks for {wanted} slots of the pool {name!r}, which has {pool.slots}: it never starts; "
            f"'clockmill pools set {name} SLOTS' makes the pool larger."
        )
    elif pool.used + wanted > pool.slots:
        room = f", it asks for {wanted}" if wanted > 1 else ""
        text = f"The pool {name!r} is full: {pool.used} of {pool.slots} slots in use{room}."

        def holders() -> list[Holder]:
            deferred = deferred_holders(connection, name) if pool.include_deferred else []
            return [
                *holders_of(live_holders(connection, pool_name=name)),
                *(Holder(what=f"{each.what} deferred", since=each.since) for each in holders_of(deferred)),
            ]

        yield Reason(text, holders)


def _run(subject: Subject) -> Iterator[Reason]:
    run = subject.run
    find = partial(live_holders, subject.connection, dag_run_id=run.id)
    used = len(find(limit=run.max_active_tasks))
    if used >= run.max_active_tasks:
        text = f"The run is at its limit: {used} of max_active_tasks={run.max_active_tasks} tasks run."
        yield Reason(text, lambda: holders_of(find()))


def _task(subject: Subject) -> Iterator[Reason]:
    """The two limits on the instances of its task."""
    connection, run, row = subject.connection, subject.run, subject.row
    scopes = (
        ("max_active_tis_per_dag", "over all runs", row.max_active_per_dag, {"dag_id": run.dag_id}),
        ("max_active_tis_per_dagrun", "in this run", row.max_active_per_run, {"dag_run_id": run.id}),
    )
    for name, where, limit, narrow in scopes:
        if limit is None:
            continue
        find = partial(live_holders, connection, task_id=row.task_id, **narrow)
        used = len(find(limit=limit))
        if used >= limit:
            text = f"The task is at its limit: {used} of {name}={limit} instances run {where}."
            yield Reason(text, partial(_shown, find))


def _executor(subject: Subject, name: str) -> Iterator[Reason]:
    connection = subject.connection
    slots, busy = slots_of(connection, name)
    shown = f"the executor {name!r}" if name else "the executor"
    if slots == 0 and name:
        yield Reason(f"Nobody runs tasks of the executor {name!r}: no scheduler has begun to, and no worker is there.")
    elif slots == 0:
        yield Reason("No executor is there: no scheduler is running, or it has just begun.")
    elif busy >= slots:
        find = partial(live_holders, connection, executor=name or None)
        yield Reason(f"Every slot of {shown} is taken: {busy} of {slots}.", partial(_shown, find))


def _shown(find: Callable[[], list[dict[str, object]]]) -> list[Holder]:
    return holders_of(find())
