"""The base of all operators: a task of a DAG, and the code that runs when its turn comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from clockmill.errors import DagDefinitionError
from clockmill.ids import id_problem
from clockmill.model import checks
from clockmill.model.arguments import (
    GONE_FROM_OPERATORS,
    OPERATOR_CHECKS,
    OperatorArguments,
    warn_ignored,
)
from clockmill.model.between import SetupTeardown, note_task
from clockmill.model.context import Context, parameters_of
from clockmill.model.deferring import Deferring
from clockmill.model.param import Param, as_params
from clockmill.model.scope import current_scope
from clockmill.model.weights import PriorityWeightStrategy, WeightRule
from clockmill.model.xcom_arg import XComArg, references
from clockmill.model.zones import zone_of
from clockmill.state.rules import TriggerRule

if TYPE_CHECKING:
    from clockmill.model.dag import DAG
    from clockmill.model.group import TaskGroup
    from clockmill.model.mapping import MappedTask
    from clockmill.model.partial import OperatorPartial

Callables = tuple[Callable[..., Any], ...]


class OperatorType(type):
    """Makes operators: fills in default arguments, refuses unknown ones, and adds the finished task to its DAG.

    It is done around each ``__init__``, not in it, so that default arguments reach the parameters of every class on
    the way, and the edges that template fields imply are seen after the whole constructor has run.
    """

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        if "execute" in namespace and "runs_nothing" not in namespace:
            cls.runs_nothing = False
        if "__init__" in namespace:
            is_base = not any(isinstance(base, OperatorType) for base in bases)
            cls.__init__ = _filled_in(namespace["__init__"], is_base)  # type: ignore[misc]

    def __call__(cls, *args: Any, **arguments: Any) -> Any:
        owner = f"{cls.__name__} {arguments.get('task_id', '')!r}"
        if args:
            raise DagDefinitionError(f"{owner}: arguments are given by name, not by position ({args[0]!r}).")
        cls.refuse_unknown(owner, arguments)
        operator = cls.made(arguments, defaults_for(arguments, arguments_of(cls)))
        operator._register()
        return operator

    def made(cls, arguments: Mapping[str, Any], filling: Mapping[str, Any]) -> BaseOperator:
        """An operator that is in no DAG's list of tasks yet.

        :param filling: the default arguments.
        """
        operator: BaseOperator = cls.__new__(cls)  # type: ignore[call-overload]
        operator._filling = filling
        operator.__init__(**arguments)  # type: ignore[misc]
        del operator._filling
        return operator

    def refuse_unknown(cls, owner: str, names: Iterable[str]) -> None:
        """Refuse arguments that the operator does not have.

        :raises DagDefinitionError: naming the first of them and the nearest one that exists.
        """
        checks.refuse_unknown(owner, names, arguments_of(cls), GONE_FROM_OPERATORS)


def _filled_in(init: Callable[..., None], is_base: bool) -> Callable[..., None]:
    """``init`` with the default arguments of the operator for those of its parameters that are not given.

    :param is_base: whether it is that of the base, which names no parameters: it takes them all as a dictionary.
    """
    takes = parameters_of(init)
    names = OPERATOR_CHECKS if is_base else takes.by_name

    @wraps(init)
    def filled(self: BaseOperator, *args: Any, **arguments: Any) -> None:
        given = {"self", *takes.positional[: len(args) + 1], *arguments}
        for name in names:
            if name in self._filling and name not in given:
                arguments[name] = self._filling[name]
        for name in takes.required:
            if name not in given and name not in arguments:
                task_id = arguments.get("task_id", "")
                raise DagDefinitionError(f"{type(self).__name__} {task_id!r}: the argument {name!r} is missing.")
        init(self, *args, **arguments)

    return filled


@lru_cache(maxsize=256)
def arguments_of(cls: type) -> frozenset[str]:
    """The argument names that a class takes, itself or by way of the classes that it hands the rest to."""
    known: set[str] = set()
    for base in cls.__mro__:
        if "__init__" not in base.__dict__ or base is object:
            continue
        if base is BaseOperator:
            known.update(OPERATOR_CHECKS)
            break
        signature = parameters_of(base.__dict__["__init__"])
        known.update(name for name in signature.by_name if name != "self")
        if not signature.takes_all:
            break
    return frozenset(known)


def defaults_for(arguments: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The default arguments of the DAG, over them those of its groups from the outside in, then of the operator."""
    scope = current_scope()
    group = arguments.get("task_group") or (scope.group if scope else None)
    dag = arguments.get("dag") or (group.dag if group else None) or (scope.dag if scope else None)
    if dag is not None and group is not None and group.dag is not dag:
        group = None
    layers = [*(dag.default_layers() if dag else ()), *(group.default_layers() if group else ())]
    if own := arguments.get("default_args"):
        layers.append(own)
    if dag is not None:
        dag.note_defaults_used(known)
    return {name: value for layer in layers for name, value in layer.items()}


class BaseOperator(Deferring, SetupTeardown, metaclass=OperatorType):
    """A task. Subclasses take their own arguments in ``__init__``, pass the rest on, and define :meth:`execute`.

    Every argument is given by name; :class:`~clockmill.model.arguments.OperatorArguments` lists those that all
    operators take.

    :raises DagDefinitionError: when an argument is unknown, missing or of the wrong kind, or the task id is taken.
    """

    #: Attributes whose strings are rendered by Jinja, and whose references are resolved, before ``execute``.
    template_fields: Sequence[str] = ()
    #: Endings of file names: a template field that ends so is read from that file.
    template_ext: Sequence[str] = ()
    template_fields_renderers: ClassVar[Mapping[str, str]] = {}
    ui_color: str = "#fff"
    ui_fgcolor: str = "#000"
    #: True for an operator whose ``execute`` does nothing, so that it needs no process.
    runs_nothing: ClassVar[bool] = False

    #: What ``default_args`` give; only while the operator is made.
    _filling: Mapping[str, Any] = {}
    #: How the instances of a mapped task are made; None for a plain one. The constructor of a mapped task has not run.
    mapping: MappedTask | None = None

    task_id: str
    owner: str = "clockmill"
    email: tuple[str, ...] | None = None
    email_on_retry: bool = True
    email_on_failure: bool = True
    retries: int = 0
    retry_delay: timedelta = timedelta(minutes=5)
    retry_exponential_backoff: bool | float = False
    max_retry_delay: timedelta | None = None
    retry_jitter: float = 0.0
    retry_policy: Any = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    depends_on_past: bool = False
    ignore_first_depends_on_past: bool = True
    wait_for_past_depends_before_skipping: bool = False
    wait_for_downstream: bool = False
    priority_weight: int = 1
    weight_rule: WeightRule | PriorityWeightStrategy = WeightRule.DOWNSTREAM
    queue: str = "default"
    pool: str = "default_pool"
    pool_slots: int = 1
    execution_timeout: timedelta | None = None
    on_execute_callback: Callables | None = None
    on_failure_callback: Callables | None = None
    on_success_callback: Callables | None = None
    on_retry_callback: Callables | None = None
    on_skipped_callback: Callables | None = None
    deadline: timedelta | None = None
    on_deadline_missed_callback: Callables | None = None
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
    resources: Mapping[str, Any] | None = None
    run_as_user: str | None = None
    map_index_template: str | None = None
    max_active_tis_per_dag: int | None = None
    max_active_tis_per_dagrun: int | None = None
    executor: str | None = None
    executor_config: Mapping[str, Any] = {}
    do_xcom_push: bool = True
    multiple_outputs: bool = False
    inlets: tuple[Any, ...] | None = None
    outlets: tuple[Any, ...] | None = None
    task_group: TaskGroup | None = None
    doc: str | None = None
    doc_md: str | None = None
    doc_json: str | None = None
    doc_yaml: str | None = None
    doc_rst: str | None = None
    task_display_name: str | None = None
    logger_name: str | None = None
    allow_nested_operators: bool = True
    render_template_as_native_obj: bool | None = None
    sla: Any = None

    def __init__(self, **arguments: Unpack[OperatorArguments]) -> None:
        given: dict[str, Any] = {**arguments}
        self._dag: DAG | None = None
        self._place(given.pop("dag", None), given.pop("task_group", None), given.pop("task_id", None))
        owner = f"{type(self).__name__} {self.task_id!r}"
        given.pop("default_args", None)
        if given.get("sla") is not None:
            warn_ignored(owner, "sla")
        self.upstream_task_ids: set[str] = set()
        self.downstream_task_ids: set[str] = set()
        self.params: dict[str, Param] = as_params(owner, given.pop("params", None) or {})
        self._step_hooks = {name: given.pop(name, None) for name in ("pre_execute", "post_execute")}
        checks.checked(owner, OPERATOR_CHECKS, self._step_hooks)
        for name, value in checks.checked(owner, OPERATOR_CHECKS, given).items():
            setattr(self, name, value)

    def _place(self, dag: DAG | None, group: TaskGroup | None, task_id: Any) -> None:
        """Find out which DAG and group the task belongs to, and its full id."""
        scope = current_scope()
        if group is None and scope is not None and (dag is None or dag is scope.dag):
            group = scope.group
        self._dag = dag or (group.dag if group else None) or (scope.dag if scope else None)
        self.task_group = group
        self.label = task_id
        if problem := id_problem("task", task_id):
            raise DagDefinitionError(problem)
        self.task_id = group.child_id(task_id) if group else task_id
        if problem := id_problem("task", self.task_id):
            raise DagDefinitionError(problem)

    def _register(self) -> None:
        """Add the finished task to its DAG and draw the edges that its template fields imply."""
        if self._dag is not None:
            self._dag.add_task(self)
        self.link_references()
        note_task(self)

    def link_references(self) -> None:
        """Draw an edge from every task whose output a template field holds, or that this task is mapped over."""
        for output in self._outputs():
            if output.operator is not self:
                self.set_upstream(output)

    def _outputs(self) -> Iterator[XComArg]:
        for name in self.template_fields:
            for reference in references(getattr(self, name, None)):
                reference.check_use(self)
                yield from reference.outputs()
        if self.mapping is not None:
            yield from self.mapping.over.outputs()

    # --- mapping ---------------------------------------------------------------------------------------------------

    @classmethod
    def partial(cls, **arguments: Any) -> OperatorPartial:
        """What all instances of a mapped task have in common: ``Op.partial(task_id=...).expand(argument=[...])``.

        :raises DagDefinitionError: when an argument is unknown.
        """
        from clockmill.model.partial import OperatorPartial

        return OperatorPartial.of(cls, arguments)

    @property
    def mapped_groups(self) -> tuple[TaskGroup, ...]:
        """The mapped task groups around the task, from the outside in."""
        return self.task_group.mapped_groups if self.task_group is not None else ()

    def shares(self, groups: Sequence[TaskGroup]) -> int:
        """How many of these mapped groups, from the outside in, are around this task too."""
        depth = 0
        for one, other in zip(self.mapped_groups, groups, strict=False):
            if one is not other:
                break
            depth += 1
        return depth

    # --- what runs -------------------------------------------------------------------------------------------------

    def execute(self, context: Context) -> Any:
        """Do the work of the task; what it returns becomes its XCom ``return_value``."""
        raise NotImplementedError(f"{type(self).__name__} has no method execute.")

    def pre_execute(self, context: Context) -> None:
        """Called right before :meth:`execute`."""
        if hook := self._step_hooks["pre_execute"]:
            hook(context)

    def post_execute(self, context: Context, result: Any = None) -> None:
        """Called right after :meth:`execute` with what it returned."""
        if hook := self._step_hooks["post_execute"]:
            hook(context, result)

    def on_kill(self) -> None:
        """Called when the task is told to stop, to clean up what its process does not take along."""

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines go to the log of the try."""
        return logging.getLogger(self.logger_name or f"clockmill.task.{type(self).__name__}")

    # --- where it stands -------------------------------------------------------------------------------------------

    @property
    def dag(self) -> DAG | None:
        """The DAG that the task belongs to, if any yet."""
        return self._dag

    @dag.setter
    def dag(self, dag: DAG) -> None:
        self.join_dag(dag)

    @property
    def dag_id(self) -> str | None:
        """The id of the DAG that the task belongs to, if any yet."""
        return self._dag.dag_id if self._dag else None

    def join_dag(self, dag: DAG) -> None:
        """Become a task of ``dag``.

        :raises DagDefinitionError: when the task belongs to another one already.
        """
        if self._dag is not None and self._dag is not dag:
            raise DagDefinitionError(f"Task {self.task_id!r} belongs to DAG {self._dag.dag_id!r} already.")
        if self._dag is None:
            self._dag = dag
            dag.add_task(self)

    def local_zone(self) -> tzinfo:
        """The time zone in which the naive times of the task are meant: that of its DAG."""
        return zone_of(self._dag.timezone if self._dag else "UTC")

    @property
    def roots(self) -> Sequence[BaseOperator]:
        return (self,)

    @property
    def leaves(self) -> Sequence[BaseOperator]:
        return (self,)

    @property
    def upstream_list(self) -> list[BaseOperator]:
        """The tasks directly above, by id."""
        return [self._dag.get_task(task_id) for task_id in sorted(self.upstream_task_ids)] if self._dag else []

    @property
    def downstream_list(self) -> list[BaseOperator]:
        """The tasks directly below, by id."""
        return [self._dag.get_task(task_id) for task_id in sorted(self.downstream_task_ids)] if self._dag else []

    @property
    def task_type(self) -> str:
        """The name of the operator class, as people see it."""
        return type(self).__name__

    @property
    def is_empty(self) -> bool:
        """Whether the task needs no attempt: it does nothing, and nobody wants to be told of it."""
        wanted = ("on_execute_callback", "on_success_callback", "on_failure_callback", "outlets")
        return (
            self.runs_nothing and not any(getattr(self, name) for name in wanted) and not any(self._step_hooks.values())
        )

    @property
    def output(self) -> XComArg:
        """What the task returns, to be given to another task."""
        return XComArg(self)

    def __repr__(self) -> str:
        return f"<Task({self.task_type}): {self.task_id}>"
