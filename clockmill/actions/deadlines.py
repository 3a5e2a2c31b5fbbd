"""The deadlines of a run: what they are when it is made, and when it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from clockmill.clock import parse_iso
from clockmill.serde import Document
from clockmill.storage.deadlines import NewDeadline, insert_deadlines, seconds_of_runs, seconds_of_tasks
from clockmill.storage.engine import Connection

#: What is usual is told from so many of the last runs that succeeded, at most and at least.
USUAL_OF = 21
USUAL_AT_LEAST = 3


def usual(seconds: Sequence[float]) -> timedelta | None:
    """The median of how long something took; None when it happened too seldom to tell."""
    if len(seconds) < USUAL_AT_LEAST:
        return None
    ordered, half = sorted(seconds), len(seconds) // 2
    middle = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    return timedelta(seconds=middle)


def keep_deadlines_of_run(
    connection: Connection, document: Document, dag_run_id: int, logical_date: datetime | None, now: datetime
) -> None:
    """Keep the deadlines that a new run has as a whole.

    One that counts from what this run does not have is left out: a logical date, enough runs before it.
    """
    if not document.deadlines:
        return
    times = seconds_of_runs(connection, document.dag_id, most=USUAL_OF, only_good=True)
    takes = usual(times)
    new = []
    for position, alert in enumerate(document.deadlines):
        start = _reference(connection, document.dag_id, alert["reference"], logical_date, now)
        if start is None:
            continue
        due = _later(start, alert["interval"])
        new.append(
            NewDeadline(
                dag_run_id=dag_run_id,
                task_instance_id=None,
                name=alert["name"],
                position=position,
                due_at=due,
                warn_at=None if takes is None else due - takes,
            )
        )
    insert_deadlines(connection, new)


def keep_deadlines_of_tasks(
    connection: Connection, document: Document, dag_run_id: int, ids: Mapping[str, int], now: datetime
) -> None:
    """Keep the deadlines of the tasks of a run that begins now.

    :param ids: a task instance of each task that has one.
    """
    limits = {task.task_id: task.deadline for task in document.tasks if task.deadline is not None}
    wanted = {task_id: seconds for task_id, seconds in limits.items() if task_id in ids}
    if not wanted:
        return
    times = seconds_of_tasks(connection, document.dag_id, wanted, most=USUAL_OF)
    new = []
    for task_id, seconds in wanted.items():
        due, takes = _later(now, seconds), usual(times.get(task_id, ()))
        new.append(
            NewDeadline(
                dag_run_id=dag_run_id,
                task_instance_id=ids[task_id],
                name=task_id,
                position=-1,
                due_at=due,
                warn_at=None if takes is None else due - takes,
            )
        )
    insert_deadlines(connection, new)


def _reference(
    connection: Connection, dag_id: str, reference: Mapping[str, Any], logical_date: datetime | None, now: datetime
) -> datetime | None:
    match reference["kind"]:
        case "dagrun_logical_date":
            return logical_date
        case "dagrun_queued_at":
            return now
        case "fixed_datetime":
            return parse_iso(reference["at"])
        case "average_runtime":
            times = seconds_of_runs(connection, dag_id, most=reference["max_runs"], only_good=False)
            enough = len(times) >= reference["min_runs"]
            return now + timedelta(seconds=sum(times) / len(times)) if enough else None
    return None


def _later(start: datetime, seconds: float) -> datetime:
    try:
        return start + timedelta(seconds=seconds)
    except OverflowError:
        return start.replace(year=9999)
