"""The DAG document as frozen records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from clockmill.errors import NotFound
from clockmill.model.param import NO_DEFAULT, resolve_params
from clockmill.state import Expansion, Graph, MappedGroup, Node, TriggerRule

#: Counted up whenever a reader of the version before would misread a document.
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ParamDoc:
    """A parameter.

    :param position: where it stands in the DAG file, from 0; the text of a document keeps no order of keys.
    :param default: ``NO_DEFAULT`` when a run must be given a value.
    """

    name: str
    position: int
    default: Any = NO_DEFAULT
    schema: Mapping[str, Any] = field(default_factory=dict)
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class GroupDoc:
    """A task group.

    :param expand: what a mapped group is mapped over, see :class:`clockmill.state.Expansion`; None for a plain one.
    """

    group_id: str
    parent: str | None
    label: str
    tooltip: str
    expand: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class TaskDoc:
    """A task; times in seconds.

    :param retry_backoff: each delay is the one before times this; 1 keeps it fixed.
    :param priority: the effective weight, by the task's weight rule.
    :param is_empty: it needs no attempt to succeed.
    :param params: its own parameters, which override those of the DAG.
    :param template_fields: for each field a short text of what it holds before rendering.
    :param edge_labels: texts on its edges, by the id of the task below.
    :param fails_run: whether the failure of a teardown fails the run.
    :param expand: what a mapped task is mapped over, see :class:`clockmill.state.Expansion`; None for a plain one.
    :param callbacks: which callbacks it has: ``on_failure_callback`` and so on.
    :param deadline: seconds from the start of the run within which it must be done, or None.
    :param resources: what it asks for, sizes in bytes.
    """

    task_id: str
    display_name: str
    operator: str
    owner: str
    group: str | None
    upstream: tuple[str, ...]
    trigger_rule: TriggerRule
    retries: int
    retry_delay: float
    retry_backoff: float
    max_retry_delay: float | None
    execution_timeout: float | None
    pool: str
    pool_slots: int
    priority: int
    queue: str
    executor: str | None
    executor_config: Mapping[str, Any]
    depends_on_past: bool
    wait_for_downstream: bool
    max_active_per_dag: int | None
    max_active_per_run: int | None
    is_empty: bool
    do_xcom_push: bool
    start_date: datetime | None
    end_date: datetime | None
    doc_md: str | None
    ui_color: str
    params: tuple[ParamDoc, ...]
    template_fields: Mapping[str, str]
    edge_labels: Mapping[str, str]
    is_setup: bool = False
    is_teardown: bool = False
    fails_run: bool = False
    expand: Mapping[str, Any] | None = None
    ignore_first_depends_on_past: bool = True
    wait_for_past_depends_before_skipping: bool = False
    callbacks: tuple[str, ...] = ()
    deadline: float | None = None
    retry_jitter: float = 0.0
    run_as_user: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A DAG; times in seconds, instants aware and in UTC.

    :param timezone: the IANA name of the zone that its calendars are in.
    :param timetable: what ``clockmill.timetables.from_dict`` reads.
    :param schedule: the schedule as people read it.
    :param max_active_runs: None for the default of the configuration; likewise ``max_active_tasks``.
    :param overlap: what becomes of a run that is due while one is active: ``queue``, ``skip``, or ``cancel`` the older.
    :param callbacks: which callbacks the DAG has: ``on_success_callback``, ``on_failure_callback``.
    :param deadlines: its deadline alerts: ``name``, ``reference`` and ``interval`` in seconds.
    :param reparse: seconds after which the file is parsed again although nothing changed, or None.
    """

    dag_id: str
    display_name: str
    description: str | None
    doc_md: str | None
    owner: str
    tags: tuple[str, ...]
    timezone: str
    timetable: Mapping[str, Any]
    schedule: str
    start_date: datetime | None
    end_date: datetime | None
    catchup: bool
    max_active_runs: int | None
    max_active_tasks: int | None
    max_consecutive_failed_dag_runs: int
    dagrun_timeout: float | None
    fail_fast: bool
    is_paused_upon_creation: bool | None
    reparse: float | None
    params: tuple[ParamDoc, ...]
    tasks: tuple[TaskDoc, ...]
    groups: tuple[GroupDoc, ...]
    overlap: str = "queue"
    callbacks: tuple[str, ...] = ()
    deadlines: tuple[Mapping[str, Any], ...] = ()
    allowed_run_types: tuple[str, ...] | None = None

    @cached_property
    def watches_tasks(self) -> bool:
        """Whether a task has a deadline of its own."""
        return any(task.deadline is not None for task in self.tasks)

    @cached_property
    def _by_id(self) -> dict[str, TaskDoc]:
        return {task.task_id: task for task in self.tasks}

    @cached_property
    def _graph(self) -> Graph:
        downstream: dict[str, list[str]] = {task.task_id: [] for task in self.tasks}
        for task in self.tasks:
            for above in task.upstream:
                downstream[above].append(task.task_id)
        mapped = self._mapped_groups()
        nodes = {
            task.task_id: Node(
                task_id=task.task_id,
                upstream=task.upstream,
                downstream=tuple(sorted(downstream[task.task_id])),
                rule=task.trigger_rule,
                is_empty=task.is_empty,
                is_setup=task.is_setup,
                is_teardown=task.is_teardown,
                fails_run=task.fails_run,
                expansion=Expansion.from_json(task.expand),
                groups=mapped[task.group] if task.group else (),
            )
            for task in self.tasks
        }
        expansions = ((group.group_id, Expansion.from_json(group.expand)) for group in self.groups)
        groups = {name: MappedGroup(name, found, mapped[name]) for name, found in expansions if found is not None}
        return Graph(nodes, groups)

    def _mapped_groups(self) -> dict[str, tuple[str, ...]]:
        """For each group the mapped groups around it, from the outside in, itself included."""
        known = {group.group_id: group for group in self.groups}

        def around(group: GroupDoc) -> tuple[str, ...]:
            outer = around(known[group.parent]) if group.parent else ()
            return outer if group.expand is None else (*outer, group.group_id)

        return {name: around(group) for name, group in known.items()}

    def graph(self) -> Graph:
        """The tasks and edges as the state machine sees them."""
        return self._graph

    def task(self, task_id: str) -> TaskDoc:
        """The task of that id.

        :raises NotFound: when there is none.
        """
        if task_id not in self._by_id:
            raise NotFound("task", task_id, self._by_id)
        return self._by_id[task_id]

    def run_params(self, conf: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a run with the configuration ``conf``.

        :raises ParamError: when values are missing or do not satisfy their schemas; all of them in one message.
        """
        return resolve_params(_by_name(self.params), conf)


def _by_name(params: Iterable[ParamDoc]) -> dict[str, ParamDoc]:
    return {param.name: param for param in params}
