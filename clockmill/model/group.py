"""Task groups: tasks that belong together, for the eye, for their ids and for dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import Token
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from clockmill.errors import DagDefinitionError
from clockmill.ids import id_problem
from clockmill.model import checks
from clockmill.model.context import parameters_of
from clockmill.model.edges import Linkable
from clockmill.model.mapping import MappedArgument, Partial
from clockmill.model.scope import Scope, current_scope, enter, leave

if TYPE_CHECKING:
    from clockmill.model.dag import DAG
    from clockmill.model.mapping import Over
    from clockmill.model.operator import BaseOperator


class GroupArguments(TypedDict, total=False):
    """What ``TaskGroup()`` and ``@task_group`` take beside ``group_id``."""

    group_display_name: str
    prefix_group_id: bool
    parent_group: TaskGroup | None
    dag: DAG | None
    default_args: Mapping[str, Any] | None
    tooltip: str
    doc_md: str | None
    ui_color: str
    ui_fgcolor: str
    add_suffix_on_collision: bool


GROUP_CHECKS: dict[str, checks.Check] = {
    "group_display_name": checks.text,
    "prefix_group_id": checks.flag,
    "parent_group": checks.anything,
    "dag": checks.anything,
    "default_args": checks.optional(checks.mapping),
    "tooltip": checks.text,
    "doc_md": checks.optional(checks.text),
    "ui_color": checks.text,
    "ui_fgcolor": checks.text,
    "add_suffix_on_collision": checks.flag,
}


class TaskGroup(Linkable):
    """A group of tasks and groups: ``with TaskGroup("load") as load: ...``.

    :param group_id: prefixes the ids of what is in it, unless ``prefix_group_id=False``.
    :raises DagDefinitionError: outside of a DAG, or when the id is wrong or taken.
    """

    group_display_name: str = ""
    prefix_group_id: bool = True
    parent_group: TaskGroup | None = None
    default_args: Mapping[str, Any] | None = None
    tooltip: str = ""
    doc_md: str | None = None
    ui_color: str = "CornflowerBlue"
    ui_fgcolor: str = "#000"
    add_suffix_on_collision: bool = False

    def __init__(self, group_id: str, **arguments: Unpack[GroupArguments]) -> None:
        owner = f"TaskGroup {group_id!r}"
        checks.refuse_unknown(owner, arguments, GROUP_CHECKS, {})
        given = checks.checked(owner, GROUP_CHECKS, arguments)
        dag = given.pop("dag", None)
        for name, value in given.items():
            setattr(self, name, value)
        if problem := id_problem("task group", group_id):
            raise DagDefinitionError(problem)
        self._dag = self._place(owner, dag)
        full_id = self.parent_group.child_id(group_id) if self.parent_group else group_id
        self.group_id = self._dag.free_id(full_id) if self.add_suffix_on_collision else full_id
        if problem := id_problem("task group", self.group_id):
            raise DagDefinitionError(problem)
        self.label = self.group_display_name or group_id
        self.children: dict[str, BaseOperator | TaskGroup] = {}
        self.over: Over | None = None
        self._tokens: list[Token[Scope | None]] = []
        self._dag.add_group(self)

    def _place(self, owner: str, dag: DAG | None) -> DAG:
        scope = current_scope()
        if self.parent_group is None and scope is not None and dag in (None, scope.dag):
            self.parent_group = scope.group
        dag = dag or (self.parent_group.dag if self.parent_group else None) or (scope.dag if scope else None)
        if dag is None:
            raise DagDefinitionError(
                f"{owner} is in no DAG; open it inside 'with DAG(...)' or give it the argument dag."
            )
        return dag

    def child_id(self, label: str) -> str:
        """The full id of what is called ``label`` in this group."""
        return f"{self.group_id}.{label}" if self.prefix_group_id else label

    def default_layers(self) -> list[Mapping[str, Any]]:
        """The default arguments of the groups around and of this one, from the outside in."""
        outer = self.parent_group.default_layers() if self.parent_group else []
        return [*outer, self.default_args] if self.default_args else outer

    @property
    def dag(self) -> DAG:
        return self._dag

    def join_dag(self, dag: DAG) -> None:
        """A group is born in its DAG, so there is nothing to join."""

    def tasks(self) -> Iterator[BaseOperator]:
        """Every task in this group and the groups in it."""
        for child in self.children.values():
            if isinstance(child, TaskGroup):
                yield from child.tasks()
            else:
                yield child

    @property
    def roots(self) -> Sequence[BaseOperator]:
        """The tasks that have no task of this group above them."""
        inside = {task.task_id for task in self.tasks()}
        return [task for task in self.tasks() if not task.upstream_task_ids & inside]

    @property
    def leaves(self) -> Sequence[BaseOperator]:
        """The tasks that have no task of this group below them, teardowns left out of sight; what is below a group
        does not wait until it is tidied up."""
        work = [task for task in self.tasks() if not task.is_teardown]
        inside = {task.task_id for task in work}
        last = [task for task in work if not task.downstream_task_ids & inside]
        return [task for task in last if not (task.is_setup and task.downstream_task_ids)] or last

    @property
    def mapped_groups(self) -> tuple[TaskGroup, ...]:
        """The mapped groups around, from the outside in, this one last when it is mapped itself."""
        around = self.parent_group.mapped_groups if self.parent_group is not None else ()
        return around if self.over is None else (*around, self)

    def __enter__(self) -> Self:
        self._tokens.append(enter(self._dag, self))
        return self

    def __exit__(self, *_: object) -> None:
        leave(self._tokens.pop())

    def __repr__(self) -> str:
        return f"<TaskGroup: {self.group_id}>"


class GroupFactory:
    """A function under ``@task_group``: each call makes a group and runs the function inside it.

    :param fixed: arguments of the function from :meth:`partial`.
    """

    def __init__(
        self, function: Callable[..., Any], arguments: Mapping[str, Any], fixed: Mapping[str, Any] | None = None
    ) -> None:
        self.function = function
        self._arguments = {"group_id": function.__name__, "add_suffix_on_collision": True, **arguments}
        self._arguments.setdefault("tooltip", (function.__doc__ or "").strip())
        self._fixed = fixed
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def override(self, **arguments: Any) -> GroupFactory:
        """The same function under other arguments of the group."""
        return GroupFactory(self.function, {**self._arguments, **arguments}, self._fixed)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns, or the group when it returns None."""
        if self._fixed is not None:
            raise DagDefinitionError(f"{self._owner}: after partial() comes .expand() or .expand_kwargs(), not a call.")
        with TaskGroup(**self._arguments) as group:
            result = self.function(*args, **kwargs)
        return group if result is None else result

    def partial(self, **arguments: Any) -> GroupFactory:
        """The same function with some arguments the same in all instances of a mapped group."""
        self._refuse_unknown(arguments)
        return GroupFactory(self.function, self._arguments, {**(self._fixed or {}), **arguments})

    def expand(self, **mapped: Any) -> Any:
        """Make a mapped group: an instance for every combination of the elements of these arguments.

        :raises DagDefinitionError: when the arguments do not fit the function or cannot be mapped over.
        """
        self._refuse_unknown(mapped)
        over = Partial(self._owner, dict(self._fixed or {})).product(mapped)
        return self._mapped(over, [name for name in parameters_of(self.function).by_name if name in mapped])

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> Any:
        """Make a mapped group: an instance for every dictionary of arguments.

        :param strict: whether a dictionary may not name an argument that ``partial()`` was given.
        """
        over = Partial(self._owner, dict(self._fixed or {})).rows(kwargs, strict=strict)
        for row in over.literal_rows():
            self._refuse_unknown(row)
        names = parameters_of(self.function).by_name
        return self._mapped(over, [name for name in names if not strict or name not in (self._fixed or {})])

    @property
    def _owner(self) -> str:
        return f"@task_group {self.__name__!r}"

    def _refuse_unknown(self, names: Iterable[str]) -> None:
        takes = parameters_of(self.function)
        if not takes.takes_all:
            checks.refuse_unknown(self._owner, names, takes.by_name, {})

    def _mapped(self, over: Over, names: Sequence[str]) -> Any:
        """What the function returns, or the group; the tasks over whose outputs it is mapped come before it."""
        fixed = {**(self._fixed or {})}
        defaults = parameters_of(self.function).defaults
        missing = [n for n in parameters_of(self.function).required if n not in names and n not in fixed]
        if missing:
            raise DagDefinitionError(f"{self._owner} is expanded without its argument {missing[0]!r}.")
        with TaskGroup(**self._arguments) as group:
            group.over = over
            stand_ins = {
                name: MappedArgument(group, over, name, {n: v for n, v in {**defaults, **fixed}.items() if n == name})
                for name in names
            }
            result = self.function(**{**fixed, **stand_ins})
        for output in over.outputs():
            group.set_upstream(output)
        return group if result is None else result


def task_group(function: Callable[..., Any] | None = None, /, **arguments: Any) -> Any:
    """Make a function a task group: ``@task_group`` or ``@task_group(group_id=..., tooltip=...)``.

    :raises DagDefinitionError: when an argument is unknown.
    """
    checks.refuse_unknown("@task_group", arguments, [*GROUP_CHECKS, "group_id"], {})
    if function is not None:
        return GroupFactory(function, {})
    return lambda decorated: GroupFactory(decorated, arguments)
