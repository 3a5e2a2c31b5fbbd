"""The seams between the parts that must not import each other: workloads, reports, and the task gateway.

Everything here crosses a process border as JSON, so the records are frozen dataclasses of plain values with
``to_json`` and ``from_json``. Instants travel as ISO 8601 text in UTC with microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

#: The ``error`` with which a task goes on whose trigger did not fire in time.
TRIGGER_TIMEOUT = "timeout"


class Record:
    """What crosses a process border: a frozen dataclass of plain values."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """This record as a dictionary that JSON knows."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The record that :meth:`to_json` wrote; keys of a newer version are ignored."""
        known = cls.__dataclass_fields__
        return cls(**{key: value for key, value in data.items() if key in known})


@dataclass(frozen=True, kw_only=True)
class Workload(Record):
    """One attempt, ready to be run: all that an executor needs, and nothing that it must look up.

    :param attempt_id: unique per attempt; also the environment variable ``ATTEMPT_ID`` of its processes.
    :param token: the fencing token that every write of the attempt carries.
    :param bundle: the content hash of the bundle that the DAG file comes from.
    :param bundle_path: the folder where that bundle is materialised on this host; empty in what is offered to workers.
    :param file: the DAG file, relative to the bundle.
    :param log_path: the file of this try, absolute; in what is offered to workers, relative to the folder of logs.
        Attempts of one try append to it.
    :param execution_timeout: seconds from the start of the user's code, or None for no limit.
    :param kill_grace: seconds between TERM and KILL.
    :param item: which element of its expansion a mapped task takes, from 0; -1 when it takes none.
    :param scope: which instance of the mapped groups around it the task belongs to: ``"2"``, ``"2.0"``; empty outside.
    :param run_as_user: the user whose rights its process has, where the executor can change them; else None.
    :param resources: what it asked for and was given: name -> amount, sizes in bytes.
    :param elements: of the values of other tasks that a mapped task is mapped over, what it takes, as far as it is
        handed over; the rest it has to ask for. For each value ``[task_id, key, length, [[index, JSON text], ...]]``.
    :param resume: how a deferred task goes on: ``method``, ``kwargs`` (JSON text) and ``event`` (JSON text) or
        ``error`` (its first line says it all; :data:`TRIGGER_TIMEOUT` when nothing came in time). ``xcoms`` are the
        pairs that the try has pushed so far, over deferrals and reschedules. None at the beginning of a try.
    :param callback: what to call instead of running the task: ``id``, ``kind`` (which of the author's functions) and
        ``context`` (what it is told beside the run); None for a task. One about a whole run has an empty ``task_id``.
    :param context: what the template context is made of: ``dag_run`` (``run_id run_type logical_date
        data_interval_start data_interval_end run_after queued_at start_date conf note``; for a callback also
        ``state``), ``params``, ``max_tries``, ``first_start`` (when this try first began, over deferrals and
        reschedules), ``reschedules`` (how often it was rescheduled).
    """

    attempt_id: str
    token: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    item: int = -1
    scope: str = ""
    try_number: int = 1
    bundle: str
    bundle_path: str
    file: str
    log_path: str
    queue: str = "default"
    priority: int = 0
    execution_timeout: float | None = None
    kill_grace: float = 5.0
    max_xcom_bytes: int = 1 << 20
    executor_config: dict[str, Any] = field(default_factory=dict)
    run_as_user: str | None = None
    resources: dict[str, float] = field(default_factory=dict)
    elements: list[tuple[str, str, int, list[tuple[int, str]]]] = field(default_factory=list)
    resume: dict[str, Any] | None = None
    callback: dict[str, Any] | None = None
    context: dict[str, Any] = field(default_factory=dict)

    @property
    def idempotency_key(self) -> str:
        """Stable over the tries of one task instance; the variable ``IDEMPOTENCY_KEY`` of its processes."""
        key = f"{self.dag_id}/{self.run_id}/{self.task_id}/{self.map_index}"
        return f"{key}/callback/{self.callback['id']}" if self.callback else key


@dataclass(frozen=True, kw_only=True)
class RunRequest(Record):
    """A run of a DAG that a task asks for. Repeating it gives the run that is there.

    :param run_id: the id of the run; the task derives it from itself, unless its author chose one.
    :param logical_date: as ISO 8601 text, or None for the moment at which the run is made.
    :param run_after: as ISO 8601 text, when the run may begin; at once when None.
    :param reset: clear a finished run of that id, so that it runs again.
    :param skip_existing: end the task as skipped when somebody else made a run of that id.
    :param fail_paused: fail the task when the DAG is paused.
    """

    dag_id: str
    run_id: str
    conf: dict[str, Any] = field(default_factory=dict)
    logical_date: str | None = None
    run_after: str | None = None
    reset: bool = False
    skip_existing: bool = False
    fail_paused: bool = False


@dataclass(frozen=True, kw_only=True)
class AttemptReport(Record):
    """How an attempt ended, as its supervisor saw it.

    :param outcome: a value of :class:`clockmill.state.Outcome`.
    :param reason: one sentence for people, empty after a success.
    :param started_at: taken in the task process right before the user's code, or None when it never ran.
    :param ended_at: taken in the task process right after the user's code; by the supervisor when it died.
    :param retry_after: seconds until the next try when the task itself asked for them.
    :param no_retry: the task asked for no more tries.
    :param called_back: the process has called what the author wants called at this end.
    :param branch: the task ids that a branch follows; the others directly below are left out.
    :param skips: what a short circuit leaves out: ``downstream`` for all below, ``direct`` for those directly below.
    :param xcoms: ``[key, value as JSON text]`` pairs, in the order pushed; empty unless the task succeeded, or goes on
        later in the same try.
    :param run_requests: runs of DAGs that the task asks for, each a :class:`RunRequest` as JSON; they are made in the
        transaction that applies this report, which turns into a failure when one of them cannot be.
    :param defer: with the outcome ``deferred``: ``class_path`` and ``kwargs`` (JSON text) of the trigger, ``method``
        and ``method_kwargs`` (JSON text) with which the task goes on, ``timeout`` in seconds or None.
    :param look_again_at: with the outcome ``rescheduled``: when, as ISO 8601 text.
    :param label: ``map_index_template`` filled in, for people; None when there is none.
    :param peak_memory_kb: the largest resident set of the process, kilobytes.
    :param cpu_seconds: user and system time of the process.
    """

    attempt_id: str
    token: str
    outcome: str
    reason: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    retry_after: float | None = None
    no_retry: bool = False
    called_back: bool = False
    branch: list[str] | None = None
    skips: str | None = None
    xcoms: list[tuple[str, str]] = field(default_factory=list)
    run_requests: list[dict[str, Any]] = field(default_factory=list)
    defer: dict[str, Any] | None = None
    look_again_at: str | None = None
    label: str | None = None
    peak_memory_kb: int | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class XComQuery(Record):
    """Which XComs of a run a task wants.

    :param task_ids: the tasks to look at, in this order; all of the run when None.
    :param map_indexes: the map indexes to look at; all when None.
    :param include_prior_dates: whether the newest value of each task until that run counts.
    :param scope: the instance of the mapped groups around the tasks to look at; all when None.
    :param is_within: whether instances of further mapped groups inside that scope count too.
    :param offset: how many of the values found are passed over, by task and map index.
    :param limit: how many of the rest are wanted; None for all.
    :param element: the one element of each value that is wanted, from 0; of a dictionary, the pair. None for the
        whole value.
    """

    dag_id: str
    run_id: str
    key: str
    task_ids: list[str] | None = None
    map_indexes: list[int] | None = None
    include_prior_dates: bool = False
    scope: str | None = None
    is_within: bool = False
    offset: int = 0
    limit: int | None = None
    element: int | None = None


@dataclass(frozen=True, kw_only=True)
class StatesQuery(Record):
    """What a sensor or a trigger wants to know of the runs of a DAG, its own or another.

    :param run_ids: the runs to look at; give these or ``logical_dates``.
    :param logical_dates: the logical dates of the runs to look at, as ISO 8601 text in UTC.
    :param task_ids: the tasks whose instances are counted.
    :param group_id: a task group whose tasks are counted as well.
    :param check: whether to tell which of these tasks and groups the newest version of the DAG does not have.
    """

    dag_id: str
    run_ids: list[str] | None = None
    logical_dates: list[str] | None = None
    task_ids: list[str] | None = None
    group_id: str | None = None
    check: bool = False


@dataclass(frozen=True, kw_only=True)
class StatesSeen(Record):
    """The answer to a :class:`StatesQuery`.

    :param is_known: whether there is such a DAG, with its file in place.
    :param missing: the tasks and the group asked for that its newest version does not have; only with ``check``.
    :param runs: the runs that are there: ``run_id``, ``logical_date``, ``state``, and ``tasks``: task id -> state ->
        how many instances of the task are in it.
    """

    is_known: bool
    missing: list[str] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)


class ReadGateway(Protocol):
    """What a running task may read, by way of its supervisor. No write, no other attempt's secrets.

    Every method raises :class:`~clockmill.errors.GatewayUnavailable` when nobody can be asked now, and
    :class:`~clockmill.errors.TaskGone` when ``attempt_id`` and ``token`` are no longer a live attempt.
    """

    def get_xcoms(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> list[tuple[str, int, str]]:
        """XComs as ``(task_id, map_index, value as JSON text)``, by map index within a task.

        Only values of tries that succeeded are seen. A value that lacks the element asked for is left out.

        :param query: an :class:`XComQuery` as JSON.
        """
        ...

    def measure_xcoms(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> tuple[int, int | None]:
        """How many such XComs there are, and how many elements the longest has; None when none is a list or mapping.

        :param query: an :class:`XComQuery` as JSON; which part of them it wants plays no role.
        """
        ...

    def get_previous_run(self, attempt_id: str, token: str) -> dict[str, str | None]:
        """The dates of the newest earlier run of the same DAG that succeeded; empty when there is none.

        ``data_interval_start data_interval_end start_date end_date``, as ISO 8601 text.
        """
        ...

    def get_variable(self, attempt_id: str, token: str, key: str) -> str | None:
        """The value of a variable, or None when there is none."""
        ...

    def get_connection(self, attempt_id: str, token: str, conn_id: str) -> dict[str, Any] | None:
        """The fields of a connection (``conn_id conn_type host port schema login password extra description``)."""
        ...

    def get_states(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> dict[str, Any]:
        """How runs of a DAG and their tasks stand.

        :param query: a :class:`StatesQuery` as JSON.
        :returns: a :class:`StatesSeen` as JSON.
        """
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
