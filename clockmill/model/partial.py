"""``Operator.partial(...).expand(...)``, and how the operator of one instance is made when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clockmill.errors import DagDefinitionError
from clockmill.model.arguments import OPERATOR_CHECKS
from clockmill.model.context import Context, parameters_of
from clockmill.model.derived import LiteralValues
from clockmill.model.mapping import MappedTask, Over, Partial, Product
from clockmill.model.operator import BaseOperator, OperatorType, arguments_of, defaults_for


@dataclass
class OperatorPartial(Partial):
    """The arguments that all instances of a mapped task have in common.

    :param operator: the class of the task.
    """

    operator: OperatorType

    @classmethod
    def of(cls, operator: OperatorType, arguments: dict[str, Any]) -> OperatorPartial:
        """What ``operator.partial(**arguments)`` gives.

        :raises DagDefinitionError: when there is no such argument.
        """
        owner = f"{operator.__name__} {arguments.get('task_id', '')!r}"
        operator.refuse_unknown(owner, arguments)
        return cls(owner, arguments, operator)

    def expand(self, **mapped: Any) -> BaseOperator:
        """A task with an instance for every combination of the elements of these arguments.

        :raises DagDefinitionError: when an argument is unknown, missing, given twice, or cannot be mapped over.
        """
        self._refuse_unmappable(mapped)
        return mapped_task(self.operator, self.fixed, self.product(mapped))

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> BaseOperator:
        """A task with an instance for every dictionary of arguments.

        :param kwargs: a list of dictionaries, or the output of a task that returns one.
        :param strict: whether a dictionary may not name an argument that ``partial()`` was given.
        :raises DagDefinitionError: as :meth:`expand`.
        """
        over = self.rows(kwargs, strict=strict)
        for row in over.literal_rows():
            self._refuse_unmappable(row)
        return mapped_task(self.operator, self.fixed, over, strict=strict)

    def _refuse_unmappable(self, mapped: Mapping[str, Any]) -> None:
        refuse_unmappable(self.owner, self.operator, mapped)


def refuse_unmappable(owner: str, operator: OperatorType, mapped: Mapping[str, Any]) -> None:
    """Refuse to map over what an operator does not have, or what the scheduler has to know of all instances.

    :raises DagDefinitionError: naming the argument.
    """
    operator.refuse_unknown(owner, mapped)
    for name in mapped:
        if name in OPERATOR_CHECKS:
            raise DagDefinitionError(
                f"{owner}: {name} is the same for all instances of a task, so it cannot be mapped over; use partial()."
            )


def mapped_task(
    operator: OperatorType,
    arguments: Mapping[str, Any],
    over: Over,
    *,
    into: str | None = None,
    strict: bool = True,
) -> BaseOperator:
    """A mapped task in its DAG. What all operators have is set; the constructor runs for each instance alone.

    :param into: see :class:`~clockmill.model.mapping.MappedTask`.
    """
    filling = defaults_for(arguments, arguments_of(operator))
    task: BaseOperator = operator.__new__(operator)  # type: ignore[call-overload]
    task._filling = filling
    BaseOperator.__init__(task, **{name: value for name, value in arguments.items() if name in OPERATOR_CHECKS})
    del task._filling
    task.mapping = MappedTask(over=over, arguments=dict(arguments), filling=filling, into=into, strict=strict)
    if into is None and isinstance(over, Product):
        _refuse_missing(task, operator, {*arguments, *filling, *over.arguments})
    vars(task).update(_shown(arguments, over, into))
    task._register()
    return task


def _refuse_missing(task: BaseOperator, operator: OperatorType, given: set[str]) -> None:
    for base in operator.__mro__:
        init: Callable[..., None] | None = base.__dict__.get("__init__")
        if base is BaseOperator or init is None:
            break
        takes = parameters_of(init)
        for name in takes.required:
            if name != "self" and name not in given:
                raise DagDefinitionError(f"{operator.__name__} {task.task_id!r}: the argument {name!r} is missing.")
        if not takes.takes_all:
            break


def _shown(arguments: Mapping[str, Any], over: Over, into: str | None) -> dict[str, Any]:
    """The arguments of its own that a mapped task shows under their names: for people, and for the edges in them."""
    own = {name: value for name, value in arguments.items() if name not in OPERATOR_CHECKS}
    given = over.arguments if isinstance(over, Product) else {}
    mapped = {name: values.value if isinstance(values, LiteralValues) else values for name, values in given.items()}
    if into is None:
        return {**own, **mapped}
    return {**own, into: {**own.get(into, {}), **mapped}}


def instance_of(task: BaseOperator, context: Context, item: int) -> tuple[BaseOperator, tuple[Any, ...]]:
    """The operator of one instance of a mapped task.

    :param item: which element it takes.
    :returns: the operator, and those of its values that come from other tasks and are no templates.
    :raises DagDefinitionError: when the element does not fit the operator.
    """
    mapping = task.mapping
    assert mapping is not None, f"{task!r} is not mapped"
    owner = f"Task {task.task_id!r}"
    pick = mapping.over.pick(context, item)
    operator: OperatorType = type(task)
    if mapping.into is None:
        refuse_unmappable(owner, operator, pick.arguments)
    place = {"task_id": task.label, "dag": task.dag, "task_group": task.task_group}
    made = operator.made({**mapping.merged(owner, pick.arguments), **place}, mapping.filling)
    for name in _INHERITED:
        setattr(made, name, getattr(task, name))
    return made, pick.known


#: What a task is told after its constructor.
_INHERITED = (
    "upstream_task_ids",
    "downstream_task_ids",
    "is_setup",
    "is_teardown",
    "on_failure_fail_dagrun",
    "trigger_rule",
)
