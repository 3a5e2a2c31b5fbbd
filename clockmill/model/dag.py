"""The DAG: tasks, the edges between them, and when they run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Token
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from clockmill.errors import DagDefinitionError, NotFound, UsageError, did_you_mean
from clockmill.ids import id_problem
from clockmill.model import checks
from clockmill.model.arguments import DAG_CHECKS, OPERATOR_CHECKS, DagArguments, Overlap, modern_arguments
from clockmill.model.edges import Linkable
from clockmill.model.graph import find_cycle, in_order
from clockmill.model.group import TaskGroup
from clockmill.model.mapping import Partial
from clockmill.model.operator import BaseOperator
from clockmill.model.param import NO_DEFAULT, Param, as_params, check_defaults
from clockmill.model.scope import Scope, announce, enter, leave, place_of_caller
from clockmill.model.weights import effective_weights
from clockmill.model.xcom_arg import ParamReference
from clockmill.model.zones import aware, zone_name
from clockmill.state import RunType
from clockmill.state.rules import TriggerRule

if TYPE_CHECKING:
    from clockmill.timetables import Timetable

Callables = tuple[Callable[..., Any], ...]


class DAG:
    """A directed acyclic graph of tasks: ``with DAG("sales", schedule="@daily", start_date=...) as dag: ...``.

    Tasks made inside the ``with`` statement belong to it, and so do those that are given ``dag=dag``. Naive times are
    in the zone of the DAG: that of ``start_date`` when it is aware, else UTC, unless ``timezone`` says another.

    :param dag_id: unique among all files.
    :param arguments: see :class:`~clockmill.model.arguments.DagArguments`.
    :raises DagDefinitionError: when an argument is unknown or of the wrong kind.
    """

    description: str | None = None
    schedule: Any = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    template_searchpath: tuple[str, ...] | None = None
    template_undefined: type | None = None
    user_defined_macros: Mapping[str, Any] | None = None
    user_defined_filters: Mapping[str, Any] | None = None
    executor: str | None = None
    max_active_tasks: int | None = None
    max_active_runs: int | None = None
    max_consecutive_failed_dag_runs: int = 0
    dagrun_timeout: timedelta | None = None
    deadline: tuple[Any, ...] | None = None
    catchup: bool = False
    overlap: Overlap = Overlap.QUEUE
    on_success_callback: Callables | None = None
    on_failure_callback: Callables | None = None
    doc_md: str | None = None
    access_control: Mapping[str, Any] | None = None
    is_paused_upon_creation: bool | None = None
    jinja_environment_kwargs: Mapping[str, Any] | None = None
    render_template_as_native_obj: bool = False
    tags: tuple[str, ...] | None = None
    owner_links: Mapping[str, str] | None = None
    auto_register: bool = True
    fail_fast: bool = False
    allowed_run_types: tuple[RunType, ...] | None = None
    dag_display_name: str | None = None
    disable_bundle_versioning: bool = False
    rerun_with_latest_version: bool | None = None
    reparse: timedelta | None = None

    runner_group: ClassVar[str] = "clockmill.dag_runners"

    def __init__(self, dag_id: str, **arguments: Unpack[DagArguments]) -> None:
        if problem := id_problem("DAG", dag_id):
            raise DagDefinitionError(problem)
        self.dag_id = dag_id
        owner = f"DAG {dag_id!r}"
        given = modern_arguments(owner, {**arguments})
        given = checks.checked(owner, DAG_CHECKS, given)
        self.default_args: dict[str, Any] = given.pop("default_args", None) or {}
        params = {**(self.default_args.get("params") or {}), **(given.pop("params", None) or {})}
        self.params: dict[str, Param] = as_params(owner, params)
        timezone = given.pop("timezone", None)
        for name, value in given.items():
            setattr(self, name, value)
        self._set_times(owner, timezone)
        self.task_dict: dict[str, BaseOperator] = {}
        self.groups: dict[str, TaskGroup] = {}
        self.edge_labels: dict[str, dict[str, str]] = {}
        self.fileloc, self.line = place_of_caller()
        self.doc_md = self._text_of(self.doc_md)
        self.partials: list[Partial] = []
        self._group_edges: list[tuple[Linkable, Linkable, str | None]] = []
        self._next_suffix: dict[str, int] = {}
        self._defaults_used: set[str] = set()
        self._tokens: list[Token[Scope | None]] = []

    def _set_times(self, owner: str, timezone: str | tzinfo | None) -> None:
        defaults = {name: self.default_args.get(name) for name in ("start_date", "end_date")}
        times = checks.checked(owner, DAG_CHECKS, defaults)
        start, end = self.start_date or times["start_date"], self.end_date or times["end_date"]
        self.timezone = zone_name(owner, timezone or (start.tzinfo if start else None) or UTC)
        self.start_date, self.end_date = self.aware(start), self.aware(end)
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise DagDefinitionError(f"{owner}: end_date must not be before start_date.")

    def _text_of(self, doc: str | None) -> str | None:
        """``doc``, or when it is the name of a ``.md`` file, what that file holds."""
        if doc is None or "\n" in doc or not doc.endswith(".md"):
            return doc
        try:
            return (self.folder / doc).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DagDefinitionError(
                f"DAG {self.dag_id!r}: doc_md names a file that cannot be read: {error}."
            ) from None

    def aware(self, moment: datetime | None) -> datetime | None:
        """``moment`` with a zone: a naive one is in that of the DAG."""
        return None if moment is None else aware(moment, self.timezone)

    # --- building --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._tokens.append(enter(self))
        if self.auto_register:
            announce(self)
        return self

    def __exit__(self, *_: object) -> None:
        leave(self._tokens.pop())

    def add_task(self, task: BaseOperator) -> None:
        """Take in a task.

        :raises DagDefinitionError: when its id is taken.
        """
        if self.task_dict.get(task.task_id) is task:
            return
        self._refuse_taken("task", task.task_id)
        if task.dag is not self:
            task.join_dag(self)
            return
        task.start_date, task.end_date = self.aware(task.start_date), self.aware(task.end_date)
        self.task_dict[task.task_id] = task
        if task.task_group is not None:
            task.task_group.children[task.task_id] = task

    def add_group(self, group: TaskGroup) -> None:
        """Take in a task group; called by its constructor.

        :raises DagDefinitionError: when its id is taken.
        """
        self._refuse_taken("task group", group.group_id)
        self.groups[group.group_id] = group
        if group.parent_group is not None:
            group.parent_group.children[group.group_id] = group

    def _refuse_taken(self, kind: str, name: str) -> None:
        for taken, names in (("task", self.task_dict), ("task group", self.groups)):
            if name in names:
                raise DagDefinitionError(
                    f"DAG {self.dag_id!r} has a {taken} {name!r} already; a {kind} needs its own id."
                )

    def free_id(self, name: str) -> str:
        """``name``, or with the first free suffix ``__1``, ``__2``... when it is taken."""
        free = name
        while free in self.task_dict or free in self.groups:
            number = self._next_suffix[name] = self._next_suffix.get(name, 0) + 1
            free = f"{name}__{number}"
        return free

    def add_edge(self, up: Linkable, down: Linkable, label: str | None = None) -> None:
        """Let ``down`` come after ``up``; an edge of a group is drawn again when the DAG is complete."""
        if isinstance(up, TaskGroup) or isinstance(down, TaskGroup):
            self._group_edges.append((up, down, label))
        self._draw(up.leaves, down.roots, label)

    def _draw(self, upper: Iterable[BaseOperator], lower: Iterable[BaseOperator], label: str | None) -> None:
        lower = list(lower)
        for above in upper:
            for below in lower:
                above.downstream_task_ids.add(below.task_id)
                below.upstream_task_ids.add(above.task_id)
                if label is not None:
                    self.edge_labels.setdefault(above.task_id, {})[below.task_id] = label

    def default_layers(self) -> list[Mapping[str, Any]]:
        """The default arguments that every operator of this DAG is given; see ``TaskGroup.default_layers``."""
        own = {} if self.executor is None else {"executor": self.executor}
        return [own | {name: value for name, value in self.default_args.items() if name != "params"}]

    def note_defaults_used(self, names: Iterable[str]) -> None:
        """Remember that an operator takes arguments of these names."""
        if not self._defaults_used.issuperset(self.default_args):
            self._defaults_used.update(self.default_args.keys() & set(names))

    def param(self, name: str, default: Any = NO_DEFAULT) -> ParamReference:
        """A stand-in for the value of a parameter; adds the parameter when a default is given."""
        if default is not NO_DEFAULT or name not in self.params:
            self.params[name] = default if isinstance(default, Param) else Param(default)
        return ParamReference(name)

    # --- reading ---------------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> list[BaseOperator]:
        """The tasks in the order of definition."""
        return list(self.task_dict.values())

    @property
    def task_ids(self) -> list[str]:
        """The ids of the tasks in the order of definition."""
        return list(self.task_dict)

    def has_task(self, task_id: str) -> bool:
        """Whether there is a task of that id."""
        return task_id in self.task_dict

    def get_task(self, task_id: str) -> BaseOperator:
        """The task of that id.

        :raises NotFound: when there is none.
        """
        if task_id not in self.task_dict:
            raise NotFound("task", task_id, self.task_dict)
        return self.task_dict[task_id]

    @property
    def roots(self) -> list[BaseOperator]:
        """The tasks with none above."""
        return [task for task in self.tasks if not task.upstream_task_ids]

    @property
    def leaves(self) -> list[BaseOperator]:
        """The tasks with none below."""
        return [task for task in self.tasks if not task.downstream_task_ids]

    @property
    def owner(self) -> str:
        """The owners of the tasks, each once, with commas between."""
        return ", ".join(sorted({task.owner for task in self.tasks}))

    @property
    def folder(self) -> Path:
        """The folder of the file that defines the DAG, where its template files are looked for."""
        return Path(self.fileloc).parent

    @cached_property
    def timetable(self) -> Timetable:
        """What makes the runs, built from ``schedule``.

        :raises DagDefinitionError: when the schedule cannot be understood.
        """
        from clockmill.timetables import make_timetable

        return make_timetable(self.schedule, self.timezone, self.start_date, self.dag_id)

    def topological_sort(self) -> list[BaseOperator]:
        """The tasks so that each comes after all above it.

        :raises DagDefinitionError: when there is a cycle.
        """
        self._refuse_cycle()
        return [self.task_dict[task_id] for task_id in in_order(self._downstream())]

    def weights(self) -> dict[str, int]:
        """The effective priority of each task, by its ``weight_rule``."""
        return effective_weights(self.dag_id, self.tasks)

    def _downstream(self) -> dict[str, set[str]]:
        return {task.task_id: task.downstream_task_ids for task in self.tasks}

    # --- completing ------------------------------------------------------------------------------------------------

    def complete(self) -> None:
        """Draw the edges that are known only now that all tasks are. Doing it twice is harmless.

        :raises DagDefinitionError: for a cycle.
        """
        for task in self.tasks:
            task.link_references()
        for up, down, label in self._group_edges:
            self._draw(self._above(up, set()), self._below(down, set()), label)
        self._refuse_cycle()

    def validate(self) -> None:
        """Complete the DAG and refuse what cannot be scheduled.

        :raises DagDefinitionError: for a cycle, a schedule that cannot be understood, params that miss their schema.
        """
        self.complete()
        try:
            self._check_schedule()
        except DagDefinitionError as error:
            error.line = error.line or self.line
            raise
        self._warn_of_unused_defaults()
        for partial in self.partials:
            if not partial.is_used:
                warnings.warn(f"{partial.owner}: partial() is never expanded, so there is no task.", stacklevel=2)

    def refuse_long_maps(self, limit: int) -> None:
        """Refuse tasks and groups that are mapped over longer lists of the file than a run may have instances.

        :raises DagDefinitionError: naming the task or group.
        """
        mapped = [(f"task {task.task_id!r}", task.mapping.over) for task in self.tasks if task.mapping is not None]
        mapped += [
            (f"task group {name!r}", group.over) for name, group in self.groups.items() if group.over is not None
        ]
        for name, over in mapped:
            if (over.known_size or 0) > limit:
                raise DagDefinitionError(
                    f"DAG {self.dag_id!r}: {name} is mapped over {over.known_size:,} elements; [core] max_map_length "
                    f"allows {limit:,}. Let each instance do several of them, or raise the limit.",
                    line=self.line,
                )

    def _check_schedule(self) -> None:
        owner = f"DAG {self.dag_id!r}"
        if self.timetable.kind == "continuous" and self.max_active_runs != 1:
            raise DagDefinitionError(f"{owner}: @continuous needs max_active_runs=1.")
        if self.overlap is Overlap.CANCEL and self.catchup:
            raise DagDefinitionError(
                f"{owner}: overlap='cancel' ends the older runs that catchup=True asks for; leave out one of them."
            )
        check_defaults(owner, self.params, required=self.schedule is not None)
        self._check_fail_fast(owner)
        for task in self.tasks:
            task.check_below()
            check_defaults(f"Task {self.dag_id}.{task.task_id}", task.params, required=self.schedule is not None)

    def _check_fail_fast(self, owner: str) -> None:
        usual = {TriggerRule.ALL_SUCCESS, TriggerRule.ALL_DONE_SETUP_SUCCESS}
        for task in self.tasks:
            if self.fail_fast and task.trigger_rule not in usual:
                raise DagDefinitionError(
                    f"{owner}: fail_fast ends a run at its first failure, so task {task.task_id!r} cannot have "
                    f"trigger_rule={str(task.trigger_rule)!r}; make it a teardown, or leave out one of the two."
                )

    def _above(self, end: Linkable, seen: set[int]) -> Iterator[BaseOperator]:
        """The tasks that an edge from ``end`` comes from; an empty group passes on what is above it."""
        if end.leaves or id(end) in seen:
            yield from end.leaves
            return
        seen.add(id(end))
        for up, down, _ in self._group_edges:
            if down is end:
                yield from self._above(up, seen)

    def _below(self, end: Linkable, seen: set[int]) -> Iterator[BaseOperator]:
        """The tasks that an edge to ``end`` leads to; an empty group passes on what is below it."""
        if end.roots or id(end) in seen:
            yield from end.roots
            return
        seen.add(id(end))
        for up, down, _ in self._group_edges:
            if up is end:
                yield from self._below(down, seen)

    def _refuse_cycle(self) -> None:
        if cycle := find_cycle(self._downstream()):
            raise DagDefinitionError(f"DAG {self.dag_id!r} has a cycle: {' -> '.join(cycle)}.", line=self.line)

    def _warn_of_unused_defaults(self) -> None:
        for name in sorted(self.default_args.keys() - self._defaults_used - OPERATOR_CHECKS.keys()):
            hint = " It is an argument of the DAG." if name in DAG_CHECKS else did_you_mean(name, OPERATOR_CHECKS)
            warning = f"DAG {self.dag_id!r}: no operator takes {name!r}, which is in default_args.{hint}"
            warnings.warn(warning, UserWarning, stacklevel=3)

    # --- running ---------------------------------------------------------------------------------------------------

    def test(
        self,
        run_after: datetime | None = None,
        logical_date: datetime | None = None,
        run_conf: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run the whole DAG in this process, with no service and no waiting between tries.

        :param run_after: when the run would be due; now by default.
        :param logical_date: the logical date of the run; that of a manual run at ``run_after`` by default.
        :param run_conf: the configuration of the run, which also overrides params.
        :returns: the run, with ``.state`` and ``.get_task_instances()``.
        :raises UsageError: when no runner is installed.
        """
        from importlib.metadata import entry_points

        self.validate()
        for found in entry_points(group=self.runner_group, name="inprocess"):
            run_dag = found.load()
            return run_dag(self, run_after=run_after, logical_date=logical_date, run_conf=run_conf, **options)
        raise UsageError(f"No entry point {self.runner_group}:inprocess is installed; install Clockmill with pip.")

    def __repr__(self) -> str:
        return f"<DAG: {self.dag_id}>"
