"""The running task instance as user code sees it: ``ti`` of the context."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import quote

from clockmill.clock import Clock, parse_iso, parse_iso_or_none
from clockmill.errors import SerializationError, UsageError
from clockmill.model.operator import BaseOperator
from clockmill.protocols import RunRequest, StatesQuery, StatesSeen, Workload
from clockmill.runtime.channel import TaskChannel
from clockmill.runtime.xcoms import LazyXComSequence, XComs
from clockmill.xcom import MAX_KEY_LENGTH, RETURN_KEY, XComBackend, check_size, encode

#: Airflow 2 names -> what to use.
RENAMED = {
    "execution_date": "logical_date",
    "get_dagrun": "context['dag_run']",
    "next_try_number": "try_number",
    "prev_attempted_tries": "try_number",
}


@dataclass
class Outputs:
    """What the code of an attempt hands over besides its result.

    :param xcoms: key -> value as JSON text, in the order pushed.
    :param branch: see :class:`~clockmill.protocols.AttemptReport`.
    :param skips: see :class:`~clockmill.protocols.AttemptReport`.
    :param run_requests: see :class:`~clockmill.protocols.AttemptReport`.
    """

    xcoms: dict[str, str] = field(default_factory=dict)
    branch: list[str] | None = None
    skips: str | None = None
    run_requests: list[RunRequest] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DagRun:
    """The run as user code sees it: ``dag_run`` of the context. Instants are aware, in UTC.

    :param conf: what the run was triggered with.
    :param state: where the run stood when a callback was ordered; None in a task, which runs in a running one.
    """

    dag_id: str
    run_id: str
    run_type: str = "manual"
    logical_date: datetime | None = None
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    run_after: datetime | None = None
    queued_at: datetime | None = None
    start_date: datetime | None = None
    conf: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    state: str | None = None

    _TIMES = ("logical_date", "data_interval_start", "data_interval_end", "run_after", "queued_at", "start_date")

    @classmethod
    def of(cls, workload: Workload) -> DagRun:
        """The run that ``workload`` belongs to."""
        told = workload.context.get("dag_run", {})
        times = {name: parse_iso(told[name]) for name in cls._TIMES if told.get(name)}
        return cls(
            dag_id=workload.dag_id,
            run_id=workload.run_id,
            run_type=told.get("run_type") or "manual",
            conf=told.get("conf") or {},
            note=told.get("note"),
            state=told.get("state"),
            **times,
        )

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(_no_attribute("DAG run", name))


class TaskInstance:
    """One task of one run, while it runs.

    :ivar task: the operator, its template fields filled.
    :ivar map_index: which instance of a mapped task it is; -1 for a plain task.
    :ivar item: which element of what it is mapped over it takes; -1 when it takes none.
    :ivar max_tries: the last try number allowed.
    :ivar start_date: when the user's code began; None before.
    :ivar reschedules: how often this try has given its slot back to look again later.
    :ivar clock: the clock to read and to wait by.
    :ivar log: a logger that writes to the log of this try.
    """

    def __init__(
        self,
        workload: Workload,
        channel: TaskChannel,
        outputs: Outputs,
        backend: XComBackend,
        task: BaseOperator,
        clock: Clock,
    ) -> None:
        self._workload = workload
        self._channel = channel
        self._outputs = outputs
        self._backend = backend
        self._xcoms = XComs(workload, channel, backend, task, outputs.xcoms)
        self.task = task
        self.dag_id = workload.dag_id
        self.run_id = workload.run_id
        self.task_id = workload.task_id
        self.map_index = workload.map_index
        self.item = workload.item
        self.try_number = workload.try_number
        self.max_tries: int = workload.context.get("max_tries", workload.try_number)
        self.start_date: datetime | None = None
        self.reschedules: int = workload.context.get("reschedules") or 0
        self.clock = clock
        self.log = logging.getLogger("clockmill.task")

    @property
    def first_start(self) -> datetime | None:
        """When the user's code of this try first began, over deferrals and reschedules; None before."""
        return parse_iso_or_none(self._workload.context.get("first_start")) or self.start_date

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What tells this try from all others: DAG, task, run, map index, try."""
        return (self.dag_id, self.task_id, self.run_id, self.map_index, self.try_number)

    @property
    def log_url(self) -> str:
        """The page of this try, as a path on the web server."""
        page = f"/dags/{quote(self.dag_id)}/runs/{quote(self.run_id)}/tasks/{quote(self.task_id)}"
        return f"{page}?map_index={self.map_index}&try={self.try_number}"

    def xcom_push(self, key: str, value: Any) -> None:
        """Hand ``value`` to other tasks under ``key``. They see it once this try has succeeded.

        :raises SerializationError: when the value cannot be stored, or the key is no key.
        :raises XComTooLarge: when it is larger than ``[core] max_xcom_bytes``.
        """
        _check_key(key)
        try:
            text = encode(value)
        except SerializationError as error:
            raise SerializationError(f"XCom {key!r}: {error}") from None
        stored = self._backend.store(
            text,
            dag_id=self.dag_id,
            run_id=self.run_id,
            task_id=self.task_id,
            map_index=self.map_index,
            key=key,
        )
        check_size(key, stored, self._workload.max_xcom_bytes)
        self._outputs.xcoms[key] = stored

    def xcom_pull(
        self,
        task_ids: str | Iterable[str] | None = None,
        key: str = RETURN_KEY,
        *,
        dag_id: str | None = None,
        run_id: str | None = None,
        map_indexes: int | Iterable[int] | None = None,
        include_prior_dates: bool = False,
        default: Any = None,
    ) -> Any:
        """What other tasks pushed under ``key``, or this try itself.

        :param task_ids: one task: its value, or for a mapped task the list of its values by map index; a task in a
            mapped group sees the values of its own instance of the group. Several tasks: a list with one element for
            each, in that order. None: what this try pushed, else the newest value under that key of any task of the
            run.
        :param dag_id: another DAG than this one; give ``run_id`` too.
        :param include_prior_dates: look at earlier runs too, when this run has no value.
        :param default: what stands for a task that pushed nothing.
        """
        return self._xcoms.pull(task_ids, key, dag_id, run_id, map_indexes, include_prior_dates, default)

    def xcom_sequence(self, task_id: str, key: str = RETURN_KEY) -> LazyXComSequence:
        """What the instances of a mapped task pushed under ``key``, looked up when it is asked for."""
        return self._xcoms.sequence(task_id, key)

    def xcom_length(self, task_id: str, key: str = RETURN_KEY) -> int:
        """How many elements a list or dictionary has that a task pushed.

        :raises UsageError: when it pushed none.
        """
        return self._xcoms.length(task_id, key)

    def xcom_element(self, task_id: str, key: str, index: int) -> Any:
        """One element of a list or dictionary that a task pushed, without the rest.

        :raises NotFound: when there is no such element.
        """
        return self._xcoms.element(task_id, key, index)

    def group_item(self, group_id: str) -> int:
        """Which instance of that mapped group, of those around it, the task belongs to."""
        names = [group.group_id for group in self.task.mapped_groups]
        parts = self._workload.scope.split(".") if self._workload.scope else []
        place = names.index(group_id)
        return int(parts[place]) if place < len(parts) else 0

    def follow(self, task_ids: str | Iterable[str] | None) -> None:
        """Of the tasks directly below, run only these; the others are skipped. For operators that branch.

        :raises UsageError: when one of them is not below this task.
        """
        names = [task_ids] if isinstance(task_ids, str) else list(task_ids or ())
        known = self.task.dag.task_dict if self.task.dag else {}
        for name in names:
            if name not in known:
                raise UsageError(f"Task {self.task_id!r} branches to {name!r}, which is no task of its DAG.")
        self._outputs.branch = names

    def leave_out(self, which: str) -> None:
        """Skip what is below this task. For operators that cut a run short.

        :param which: ``downstream`` for all that is below, ``direct`` for the tasks directly below, which leaves what
            follows to the trigger rules.
        """
        if which not in ("downstream", "direct"):
            raise UsageError(f"leave_out() takes 'downstream' or 'direct', not {which!r}.")
        self._outputs.skips = which

    def get_states(self, query: StatesQuery) -> StatesSeen:
        """How runs of a DAG and their tasks stand. For sensors."""
        return self._channel.get_states(query)

    def request_run(self, request: RunRequest) -> None:
        """Ask for a run of a DAG. It is made when this attempt ends well, or gives its slot back: once, with that end.

        When it cannot be made, this task fails. For operators that trigger.
        """
        self._outputs.run_requests.append(request)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(_no_attribute("task instance", name))

    def __repr__(self) -> str:
        return f"<TaskInstance {self.dag_id}.{self.task_id} {self.run_id} try {self.try_number}>"


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH or not key.isprintable():
        raise SerializationError(
            f"An XCom key is text of 1 to {MAX_KEY_LENGTH} printable characters, not {str(key)[:60]!r}."
        )


def _no_attribute(kind: str, name: str) -> str:
    instead = f"; use {RENAMED[name]}" if name in RENAMED else ""
    return f"a {kind} has no attribute {name!r}{instead}"
