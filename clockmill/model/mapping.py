"""Dynamic task mapping: one task or task group in the file, as many instances in a run as there are elements.

What is mapped over stays as it is written until an instance runs. Then the instance picks its own element, in its own
process, and only then is the operator made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, NoReturn

from clockmill.errors import DagDefinitionError, UsageError
from clockmill.model.context import Context
from clockmill.model.derived import LiteralValues, values_of
from clockmill.model.scope import current_scope
from clockmill.model.xcom_arg import Reference, Values, XComArg, resolve

if TYPE_CHECKING:
    from clockmill.model.group import TaskGroup
    from clockmill.model.operator import BaseOperator


@dataclass(frozen=True)
class Pick:
    """What one instance takes.

    :param arguments: its arguments by name.
    :param known: those of the values that come from other tasks, and are never templates.
    """

    arguments: Mapping[str, Any]
    known: tuple[Any, ...] = ()


class Over:
    """What a task or a task group is mapped over."""

    sources: tuple[Values, ...]

    def shape(self) -> dict[str, Any]:
        """The part that the scheduler knows; see :class:`clockmill.state.expansion.Expansion`."""
        return {"over": [source.shape() for source in self.sources]}

    def outputs(self) -> Iterator[XComArg]:
        """The outputs that must be there before the number of instances is known."""
        for source in self.sources:
            yield from source.outputs()

    def size(self, context: Context) -> int:
        """How many instances there are."""
        return prod(source.length(context) for source in self.sources)

    @property
    def known_size(self) -> int | None:
        """How many instances there are when the file alone says it, else None."""
        lengths = [source.known_length for source in self.sources]
        return None if None in lengths else prod(length for length in lengths if length is not None)

    def pick(self, context: Context, item: int) -> Pick:
        """What instance ``item`` takes."""
        raise NotImplementedError


class Product(Over):
    """``expand(a=[1, 2], b=[3, 4])``: every combination, the last argument changing fastest.

    :param owner: whose arguments they are, as an error names it.
    :raises DagDefinitionError: when there are none, or one of them cannot be mapped over.
    """

    def __init__(self, owner: str, arguments: Mapping[str, Any]) -> None:
        if not arguments:
            raise DagDefinitionError(f"{owner}: expand() needs at least one argument to map over.")
        self.arguments = {name: values_of(f"{owner}: {name}", value) for name, value in arguments.items()}
        self.sources = tuple(self.arguments.values())

    def pick(self, context: Context, item: int) -> Pick:
        places = dict(zip(self.arguments, self._places(context, item), strict=True))
        found = {name: values.element(context, places[name]) for name, values in self.arguments.items()}
        known = (found[name] for name, values in self.arguments.items() if not isinstance(values, LiteralValues))
        return Pick(found, tuple(known))

    def _places(self, context: Context, item: int) -> list[int]:
        """Which element of each source the instance takes. The length of the first is never asked for."""
        places: list[int] = []
        for source in reversed(self.sources[1:]):
            item, place = divmod(item, source.length(context))
            places.insert(0, place)
        return [item, *places]


class Rows(Over):
    """``expand_kwargs(rows)``: one instance for each dictionary of arguments.

    :raises DagDefinitionError: when ``rows`` cannot be mapped over.
    """

    def __init__(self, owner: str, rows: Any) -> None:
        self._owner = owner
        if isinstance(rows, dict):
            raise DagDefinitionError(f"{owner}: expand_kwargs() takes a list of dictionaries, not a dictionary.")
        self.rows = values_of(f"{owner}: what expand_kwargs() is given", rows)
        self.sources = (self.rows,)
        for row in self.literal_rows():
            self._check(row)

    def literal_rows(self) -> Iterator[Mapping[str, Any]]:
        """The rows that stand in the file."""
        if isinstance(self.rows, LiteralValues):
            for row in self.rows.items:
                if not isinstance(row, Reference):
                    yield row

    def pick(self, context: Context, item: int) -> Pick:
        row = self.rows.element(context, item)
        is_known = isinstance(row, Reference) or not isinstance(self.rows, LiteralValues)
        row = row.resolve(context) if isinstance(row, Reference) else row
        self._check(row)
        return Pick(row, (row,) if is_known else ())

    def _check(self, row: Any) -> None:
        if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            shown = repr(row)
            raise DagDefinitionError(
                f"{self._owner}: expand_kwargs() takes dictionaries of arguments by name, not {shown[:60]}."
            )


@dataclass(frozen=True, kw_only=True)
class MappedTask:
    """How the instances of a mapped task are made.

    :param over: what it is mapped over.
    :param arguments: of the operator, the same for all instances.
    :param filling: the default arguments of the place where it was written.
    :param into: the argument of the operator, a dictionary, that takes what is picked; None for the operator itself.
    :param strict: whether what is picked may not name an argument that ``partial()`` was given.
    """

    over: Over
    arguments: Mapping[str, Any]
    filling: Mapping[str, Any]
    into: str | None = None
    strict: bool = True

    def merged(self, owner: str, picked: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the operator for one instance.

        :raises DagDefinitionError: when an argument is given twice.
        """
        fixed = self.arguments if self.into is None else self.arguments.get(self.into, {})
        if self.strict:
            refuse_twice(owner, picked, fixed)
        if self.into is None:
            return {**self.arguments, **picked}
        return {**self.arguments, self.into: {**fixed, **picked}}


class MappedArgument(Reference):
    """An argument of a mapped task group, as the tasks in it are given it.

    :param default: what the function of the group falls back to, when the element does not have the argument.
    """

    def __init__(self, group: TaskGroup, over: Over, name: str, default: Mapping[str, Any]) -> None:
        self.group = group
        self.name = name
        self._over = over
        self._default = default

    def resolve(self, context: Context) -> Any:
        """The value in the instance of the group that the running task belongs to."""
        picked = {**self._default, **self._over.pick(context, context["ti"].group_item(self.group.group_id)).arguments}
        if self.name not in picked:
            raise UsageError(
                f"Task group {self.group.group_id!r} needs the argument {self.name!r}, which the element that it is "
                f"mapped over does not have; it has {', '.join(sorted(picked)) or 'none'}."
            )
        return resolve(picked[self.name], context)

    def outputs(self) -> Iterator[XComArg]:
        yield from self._over.outputs()

    def check_use(self, task: BaseOperator) -> None:
        if self.group not in task.mapped_groups:
            raise DagDefinitionError(
                f"Task {task.task_id!r} uses the argument {self.name!r} of the mapped group {self.group.group_id!r}, "
                "but is not in it; return the value from a task of the group, and use the output of that."
            )

    def __iter__(self) -> NoReturn:
        raise DagDefinitionError(
            f"{self!r} is another value in each instance, so it cannot be looped over when the file is loaded; take "
            "it apart inside a task."
        )

    def __repr__(self) -> str:
        return f"<Argument {self.name} of {self.group.group_id}>"


@dataclass
class Partial:
    """``partial(...)``: what all instances have in common, waiting for what they differ in.

    :param owner: who it is, as an error names it.
    :param fixed: the arguments given.
    """

    owner: str
    fixed: dict[str, Any]
    is_used: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if (scope := current_scope()) is not None:
            scope.dag.partials.append(self)

    def product(self, mapped: Mapping[str, Any]) -> Product:
        """What :meth:`expand` was given."""
        refuse_twice(self.owner, mapped, self.fixed)
        self.is_used = True
        return Product(self.owner, mapped)

    def rows(self, rows: Any, *, strict: bool) -> Rows:
        """What :meth:`expand_kwargs` was given."""
        over = Rows(self.owner, rows)
        for row in over.literal_rows():
            if strict:
                refuse_twice(self.owner, row, self.fixed)
        self.is_used = True
        return over

    def _refuse(self, sign: str) -> NoReturn:
        raise DagDefinitionError(f"{self.owner}: partial() makes no task; end it with .expand() before {sign}.")

    def __rshift__(self, other: Any) -> NoReturn:
        self._refuse(">>")

    def __lshift__(self, other: Any) -> NoReturn:
        self._refuse("<<")


def refuse_twice(owner: str, mapped: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Refuse an argument that is given to ``partial()`` and mapped over as well.

    :raises DagDefinitionError: naming the argument.
    """
    for name in mapped:
        if name in fixed:
            raise DagDefinitionError(f"{owner}: the argument {name!r} is given to partial() and mapped over as well.")
