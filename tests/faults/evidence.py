"""What happened, from the ledger that the tasks wrote and from the rows, and whether the invariants held.

The numbers are those of the design: I1 nothing lost, I2 no committed success run again, I3 no overlap and one start per
attempt, I4 no stale write, I6 success and XComs together, I7 limits, I10 no process left, I12 what was answered
stays, I13 tries and crash budget exact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Row, select

from clockmill.storage.tables import attempt, dag_run, pool, supervisor, task_instance, xcom

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

KEYS = {"return_value", "proof"}
LIVE = {"queued", "running", "stopping"}
#: How often the tasks of these DAGs fail by themselves.
FAILURES = {"flaky": 1}


@dataclass(frozen=True)
class Entry:
    """One line of the ledger; ``task`` is ``dag/run/task``, ``at`` is on the monotonic clock."""

    kind: str
    attempt: str
    task: str
    pid: int
    at: float


@dataclass(frozen=True)
class Task:
    """A task instance as the database has it."""

    task: str
    state: str
    try_number: int
    crashes: int
    xcoms: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.task.rpartition("/")[2]

    @property
    def run(self) -> str:
        return self.task.rpartition("/")[0]


@dataclass(frozen=True)
class Attempt:
    """An attempt as the database has it."""

    id: str
    task: str
    state: str
    try_number: int
    supervisor: str | None
    pool: str
    queued_at: datetime
    ended_at: datetime | None
    claimed_at: datetime | None = None
    started_at: datetime | None = None

    def begins(self, at: str) -> float:
        """Since when it takes a slot of a pool, or of a supervisor.

        A worker claims it some time after it is made, and may have it wait for its slot a little: what never began has
        had none.
        """
        if at == self.pool or self.claimed_at in (None, self.queued_at):
            return self.queued_at.timestamp()
        return _end(self) if self.started_at is None else self.started_at.timestamp()


@dataclass(frozen=True)
class Evidence:
    """All that is known.

    :param runs: the state of each run, by ``dag/run``.
    :param answered: the runs that somebody was told of, or that were due.
    :param slots: by the name of a pool or the id of a supervisor.
    """

    entries: list[Entry]
    runs: dict[str, str]
    tasks: list[Task]
    attempts: list[Attempt]
    slots: dict[str, int]
    answered: set[str]

    def of(self, kind: str) -> list[Entry]:
        """The entries of one kind, in order of time."""
        return sorted((entry for entry in self.entries if entry.kind == kind), key=lambda entry: entry.at)


def read_ledger(path: Path) -> list[Entry]:
    """The whole lines of the ledger."""
    if not path.exists():
        return []
    lines = [line.split() for line in path.read_text().split("\n")[:-1]]
    return [Entry(kind, ident, task, int(pid), float(at)) for kind, ident, task, pid, at in lines]


def read_rows(connection: Connection, entries: list[Entry], answered: set[str]) -> Evidence:
    """Put ledger and database side by side, in one look at the database."""
    runs = {
        row.id: row
        for row in connection.execute(select(dag_run.c.id, dag_run.c.dag_id, dag_run.c.run_id, dag_run.c.state))
    }
    names = {ident: f"{row.dag_id}/{row.run_id}" for ident, row in runs.items()}
    values: dict[int, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(select(xcom.c.task_instance_id, xcom.c.key, xcom.c.value)):
        values[row.task_instance_id][row.key] = row.value.strip('"')
    instances = {row.id: row for row in connection.execute(select(task_instance))}
    tasks = {ident: f"{names[row.dag_run_id]}/{row.task_id}" for ident, row in instances.items()}
    slots = {row.id: row.slots for row in connection.execute(select(supervisor.c.id, supervisor.c.slots))}
    slots |= {row.name: row.slots for row in connection.execute(select(pool.c.name, pool.c.slots))}
    return Evidence(
        entries=entries,
        runs={names[ident]: row.state for ident, row in runs.items()},
        tasks=[
            Task(tasks[ident], row.state, row.try_number, row.crashes, values[ident])
            for ident, row in instances.items()
        ],
        attempts=[_attempt(row, tasks) for row in connection.execute(select(attempt).order_by(attempt.c.queued_at))],
        slots=slots,
        answered=answered,
    )


def _attempt(row: Row, tasks: dict[int, str]) -> Attempt:
    return Attempt(
        row.id, tasks[row.task_instance_id], row.state, row.try_number, row.supervisor_id, row.pool, row.queued_at,
        row.ended_at, row.claimed_at, row.started_at,
    )  # fmt: skip


def violations(evidence: Evidence) -> list[str]:
    """Every way in which what happened breaks the promise; empty when all is well and over."""
    checks = (nothing_lost, no_success_again, no_overlap, no_stale_write, success_has_values, limits_kept, exact_tries)
    return [fault for check in checks for fault in check(evidence)]


def nothing_lost(evidence: Evidence) -> Iterator[str]:
    """I1, I5, I12."""
    for run in sorted(evidence.answered - evidence.runs.keys()):
        yield f"I12: {run} was answered and is gone"
    for run in sorted(evidence.runs.keys() - evidence.answered):
        yield f"I1: {run} is there and nobody asked for it"
    for run, state in evidence.runs.items():
        if state != "success":
            yield f"I1: {run} is {state}"
    executed = {entry.attempt for entry in evidence.of("END")}
    succeeded = {each.task for each in evidence.attempts if each.state == "success" and each.id in executed}
    for task in evidence.tasks:
        if task.state != "success" or task.task not in succeeded:
            yield f"I1: {task.task} is {task.state}, and executed with success: {task.task in succeeded}"
    for each in evidence.attempts:
        if each.state in LIVE:
            yield f"I5: attempt {each.id} of {each.task} is still {each.state}"


def no_success_again(evidence: Evidence) -> Iterator[str]:
    """I2."""
    won = [each for each in evidence.attempts if each.state == "success"]
    for task, count in Counter(each.task for each in won).items():
        if count > 1:
            yield f"I2: {task} succeeded {count} times"
    ended = {entry.attempt: entry for entry in evidence.of("END")}
    for each in won:
        for entry in evidence.of("START"):
            if entry.task == each.task and each.id in ended and entry.at > ended[each.id].at:
                yield f"I2: {each.task} was begun again after it had succeeded"


def no_overlap(evidence: Evidence) -> Iterator[str]:
    """I3, in the ledger and in the rows."""
    for entry in evidence.of("OVERLAP"):
        yield f"I3: {entry.task} was begun while a process of it was alive"
    for ident, count in Counter(entry.attempt for entry in evidence.of("START")).items():
        if count > 1:
            yield f"I3: attempt {ident} was begun {count} times"
    ended = {entry.attempt: entry.at for entry in evidence.of("END")}
    for task, starts in _grouped(evidence.of("START"), lambda entry: entry.task).items():
        for before, after in pairwise(starts):
            if ended.get(before.attempt, before.at) > after.at:
                yield f"I3: two attempts of {task} overlap in the ledger"
    for task, rows in _grouped(evidence.attempts, lambda each: each.task).items():
        for one, two in pairwise(rows):
            if one.ended_at is None or one.ended_at > two.queued_at:
                yield f"I3: two attempts of {task} overlap in the rows"


def no_stale_write(evidence: Evidence) -> Iterator[str]:
    """I4: nothing ran unknown to the database, and what it keeps of a task comes from the attempt that won."""
    known = {each.id for each in evidence.attempts}
    for entry in evidence.of("START"):
        if entry.attempt not in known:
            yield f"I4: {entry.task} ran as attempt {entry.attempt}, which the database does not know"
    winners = {each.task: each.id for each in evidence.attempts if each.state == "success"}
    for task in evidence.tasks:
        for key, value in task.xcoms.items():
            if value != winners.get(task.task):
                yield f"I4: XCom {key} of {task.task} comes from another attempt than the one that succeeded"


def success_has_values(evidence: Evidence) -> Iterator[str]:
    """I6."""
    for task in evidence.tasks:
        wanted = KEYS if task.state == "success" else set()
        if task.xcoms.keys() != wanted:
            yield f"I6: {task.task} is {task.state} and has the XComs {sorted(task.xcoms)}"


def limits_kept(evidence: Evidence) -> Iterator[str]:
    """I7: slots of pools and supervisors, in rows and in processes. An attempt without an end counts for an instant."""
    rows = {each.id: each for each in evidence.attempts}
    ended = {entry.attempt: entry.at for entry in evidence.of("END")}
    processes = [(entry, entry.at, ended.get(entry.attempt, entry.at)) for entry in evidence.of("START")]
    for name, slots in evidence.slots.items():
        held = [each for each in evidence.attempts if name in (each.pool, each.supervisor)]
        used = most_at_once((each.begins(name), _end(each)) for each in held)
        if used > slots:
            yield f"I7: {name} has {slots} slots, and {used} attempts held one at once"
        mine = ((start, end) for entry, start, end in processes if _uses(rows.get(entry.attempt), name))
        if (ran := most_at_once(mine)) > slots:
            yield f"I7: {name} has {slots} slots, and {ran} processes ran at once"


def _uses(each: Attempt | None, name: str) -> bool:
    return each is not None and name in (each.pool, each.supervisor)


def exact_tries(evidence: Evidence) -> Iterator[str]:
    """I13."""
    states = {task: Counter(each.state for each in rows) for task, rows in _grouped(evidence.attempts, _task).items()}
    for task in evidence.tasks:
        seen = states.get(task.task, Counter())
        if task.crashes != seen["lost"]:
            yield f"I13: {task.task} was lost {seen['lost']} times and counts {task.crashes}"
        if seen["failed"] != FAILURES.get(task.name, 0):
            yield f"I13: {task.task} failed {seen['failed']} times"
        if task.try_number != 1 + seen["failed"]:
            yield f"I13: {task.task} is at try {task.try_number} after {seen['failed']} failures"


def _task(each: Attempt) -> str:
    return each.task


def _end(each: Attempt) -> float:
    return float("inf") if each.ended_at is None else each.ended_at.timestamp()


def most_at_once(intervals: Iterable[tuple[float, float]]) -> int:
    """How many intervals overlap at most; one that ends when another begins does not overlap with it."""
    points = [point for start, end in intervals for point in ((start, 1), (end, -1)) if end > start]
    now = most = 0
    for _, change in sorted(points):
        now += change
        most = max(most, now)
    return most


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups
