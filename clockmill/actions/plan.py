"""What would become of one run: what a request is asked about, and the words that it answers in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from clockmill.actions.selection import Chooser, TaskSelection
from clockmill.events import EventKind
from clockmill.serde import Document, decode
from clockmill.state import FINISHED_TASK_STATES, Progress, RunEnding, RunState, TaskState
from clockmill.storage.bulk import tasks_of_runs, tasks_with_attempts
from clockmill.storage.engine import Connection
from clockmill.storage.records import NewTask, RunRow, TaskRow
from clockmill.storage.versions import dag_state, version


class Versions:
    """The versions of a DAG that a preview meets, each read and decoded once."""

    def __init__(self, connection: Connection, dag_id: str) -> None:
        self._connection = connection
        self._dag_id = dag_id
        self._documents: dict[int, Document] = {}
        self._choosers: dict[tuple[int, TaskSelection], Chooser] = {}

    @cached_property
    def newest(self) -> int | None:
        """The newest version of the DAG."""
        return dag_state(self._connection, self._dag_id).version_id

    def document(self, version_id: int) -> Document:
        """The document of a version."""
        if version_id not in self._documents:
            self._documents[version_id] = decode(version(self._connection, version_id).document)
        return self._documents[version_id]

    def chooser(self, version_id: int, selection: TaskSelection) -> Chooser:
        """A selection of tasks over a version.

        :raises NotFound: when that version has no such task or group.
        """
        key = (version_id, selection)
        if key not in self._choosers:
            self._choosers[key] = Chooser(self.document(version_id), selection)
        return self._choosers[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One run as it stands.

    :param rows: its task instances, in the order in which they were made.
    :param busy: the row ids of task instances that have a live attempt, also of those of other runs.
    """

    run: RunRow
    rows: Sequence[TaskRow]
    busy: set[int]
    versions: Versions

    @property
    def document(self) -> Document:
        """The version that the run is pinned to."""
        return self.versions.document(self.run.version_id)


def scenes(connection: Connection, dag_id: str, runs: Sequence[RunRow]) -> Iterator[Scene]:
    """These runs of a DAG as they stand, read at once."""
    ids = [run.id for run in runs]
    rows, busy = dict(tasks_of_runs(connection, ids)), tasks_with_attempts(connection, ids)
    versions = Versions(connection, dag_id)
    return (Scene(run=run, rows=rows.get(run.id, []), busy=busy, versions=versions) for run in runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """A task instance that goes to another state.

    :param to: ``none`` for one that is cleared, ``restarting`` when its attempt has to be gone first.
    :param becomes: that in words.
    :param max_tries: the last try number that it has from then on.
    """

    row: TaskRow
    to: TaskState
    becomes: str
    max_tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What would become of a run.

    :param rows: all of its task instances as they stand.
    :param tasks: those that change.
    :param added: those that it does not have yet.
    :param redefined: row ids of those of which its new version says something else than they were made with.
    :param to: the state that the run goes to.
    :param version_id: the version that it is pinned to then.
    :param later: what becomes of the run once its tasks are done, in words, when that is not plain.
    :param kind: the event that tells of it.
    :param verb: what is done, as reasons say it: ``marked failed``.
    :param mark: the state that a person gave, when one did.
    :param ending: why the run is ended before its tasks came to their own end; the changes cut them short then.
    """

    run: RunRow
    rows: Sequence[TaskRow]
    tasks: tuple[TaskChange, ...]
    added: tuple[NewTask, ...] = ()
    redefined: tuple[tuple[int, NewTask], ...] = ()
    to: RunState
    version_id: int
    later: str = ""
    kind: EventKind
    verb: str
    mark: TaskState | None = None
    ending: RunEnding | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not self.tasks and not self.added and (self.to, self.version_id) == (self.run.state, self.run.version_id)

    @property
    def runs_again(self) -> bool:
        """Whether the run gets something to do that it has not now."""
        return bool(self.added) or any(change.to not in FINISHED_TASK_STATES for change in self.tasks)

    def said_of_run(self) -> str:
        """What becomes of the run itself, in words; empty when nothing does."""
        state = self.to.value if self.to is not self.run.state else self.later
        version = "newest version" if self.version_id != self.run.version_id else ""
        return ", ".join(filter(None, (state, version)))


def outcome(document: Document, rows: Iterable[TaskRow], changes: Iterable[TaskChange] = ()) -> RunState:
    """The state of a run as its task instances say it, once those changes are made."""
    to = {change.row.id: change.to for change in changes}
    states, left_out = {}, []
    for row in rows:
        states[row.key] = to.get(row.id, row.state)
        if row.leaves_out and row.id not in to:
            left_out.append((row.key, row.leaves_out))
    return Progress(document.graph(), states, left_out).outcome(fail_fast=document.fail_fast)


def cleared(row: TaskRow, retries: int, *, is_busy: bool) -> TaskChange:
    """A task instance that is to run again, with all of its tries.

    :param is_busy: it has a live attempt, which has to be gone first.
    """
    return TaskChange(
        row=row,
        to=TaskState.RESTARTING if is_busy else TaskState.NONE,
        becomes=_BECOMES.get(row.state, "begins afresh") if not is_busy else "is stopped, then runs again",
        max_tries=row.try_number + retries + 1,
    )


#: What becomes of a task instance that is cleared, by its state.
_BECOMES = {
    TaskState.SUCCESS: "runs again",
    TaskState.FAILED: "runs again",
    TaskState.SKIPPED: "is decided again",
    TaskState.UPSTREAM_FAILED: "is decided again",
}
