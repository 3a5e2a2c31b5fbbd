"""What an explanation says, and what it is made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clockmill.clock import iso
from clockmill.config.settings import WorkersSettings
from clockmill.state import TaskState
from clockmill.storage.engine import Connection
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.run_extras import TaskBrief
from clockmill.storage.versions import DagState

#: Of more tasks, only the number is told.
MOST_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Somebody who has what the task waits for."""

    what: str
    since: datetime | None


def _nobody() -> list[Holder]:
    return []


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that holds a task up, and how to find who holds it."""

    text: str
    holders: Callable[[], list[Holder]] = _nobody


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The task instance that is asked about, with all that a reason may need.

    :param tasks: every task instance of its run, itself included.
    :param default_executor: of tasks that name none; empty when there is one executor alone.
    :param executors: those that the settings name; empty when that is not known.
    :param now: tells who was silent for how long; without it, nobody was.
    """

    connection: Connection
    dag: DagState
    run: RunRow
    row: TaskRow
    tasks: Sequence[TaskBrief]
    default_executor: str = ""
    executors: Collection[str] = ()
    now: datetime | None = None
    workers: WorkersSettings = field(default_factory=WorkersSettings)


def holders_of(rows: Iterable[dict[str, Any]]) -> list[Holder]:
    """Those who hold slots, from rows of :func:`clockmill.storage.attempts.live_holders`."""
    return [
        Holder(what=f"{row['dag_id']} {row['run_id']} {_name(row)} ({_slots(row['pool_slots'])})", since=row["since"])
        for row in rows
    ]


def _name(row: dict[str, Any]) -> str:
    """As :attr:`clockmill.storage.run_extras.TaskBrief.name` has it."""
    return str(row["task_id"]) if row["map_index"] < 0 else f"{row['task_id']}[{row['map_index']}]"


def _slots(number: int) -> str:
    return "1 slot" if number == 1 else f"{number} slots"


def named(tasks: Sequence[TaskBrief]) -> list[str]:
    """The first of several task instances, each with its state, and how many more there are."""
    told = [f"{task.name} is {task.state}" for task in tasks[:MOST_NAMED]]
    more = len(tasks) - MOST_NAMED
    return [*told, f"and {more:,} more"] if more > 0 else told


def moment_text(moment: datetime | None) -> str:
    """An instant as people read it; a question mark when nobody knows."""
    return "?" if moment is None else iso(moment)
