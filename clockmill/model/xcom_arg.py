"""Values that exist only at run time: the output of a task, a parameter of the DAG."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from clockmill.errors import DagDefinitionError, NotFound
from clockmill.model.context import Context
from clockmill.model.edges import Linkable

if TYPE_CHECKING:
    from clockmill.model.dag import DAG
    from clockmill.model.operator import BaseOperator

RETURN_VALUE = "return_value"
_MISSING = object()


class Reference:
    """A stand-in for a value that is looked up when the task that uses it runs."""

    def resolve(self, context: Context) -> Any:
        """The value that this stands for, in the run that ``context`` is of."""
        raise NotImplementedError


class XComArg(Reference, Linkable):
    """What a task returns, or one of the values that it pushes: given to another task, it draws the edge as well.

    :param operator: the task.
    :param key: the XCom key; the value returned by default.
    """

    def __init__(self, operator: BaseOperator, key: str = RETURN_VALUE) -> None:
        self.operator = operator
        self.key = key

    def resolve(self, context: Context) -> Any:
        """The value in the run of ``context``; None when the task returned nothing.

        :raises NotFound: when the task pushed no value under this key.
        """
        value = context["ti"].xcom_pull(task_ids=self.operator.task_id, key=self.key, default=_MISSING)
        if value is not _MISSING:
            return value
        if self.key == RETURN_VALUE:
            return None
        raise NotFound("XCom", f"{self.key} of task {self.operator.task_id}")

    @property
    def dag(self) -> DAG | None:
        return self.operator.dag

    @property
    def roots(self) -> Sequence[BaseOperator]:
        return self.operator.roots

    @property
    def leaves(self) -> Sequence[BaseOperator]:
        return self.operator.leaves

    def join_dag(self, dag: DAG) -> None:
        self.operator.join_dag(dag)

    def __getitem__(self, key: str) -> XComArg:
        if not isinstance(key, str):
            raise DagDefinitionError(f"{self!r} is indexed by the key of an XCom, a string, not by {key!r}.")
        if self.key != RETURN_VALUE:
            raise DagDefinitionError(f"{self!r} names a key already; take a value apart inside the task that uses it.")
        return XComArg(self.operator, key)

    def __iter__(self) -> NoReturn:
        raise DagDefinitionError(
            f"{self!r} is not known before the run, so it cannot be looped over or unpacked when the file is loaded."
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, XComArg) and (self.operator, self.key) == (other.operator, other.key)

    def __hash__(self) -> int:
        return hash((id(self.operator), self.key))

    def __str__(self) -> str:
        key = "" if self.key == RETURN_VALUE else f", key={self.key!r}"
        return f"{{{{ ti.xcom_pull(task_ids={self.operator.task_id!r}{key}) }}}}"

    def __repr__(self) -> str:
        key = "" if self.key == RETURN_VALUE else f"[{self.key!r}]"
        return f"<Output of {self.operator.task_id}{key}>"


class ParamReference(Reference):
    """The value of a DAG parameter in the run: ``dag.param("day")``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def resolve(self, context: Context) -> Any:
        """The value in the run of ``context``.

        :raises NotFound: when the run has no such parameter.
        """
        params = context["params"]
        if self.name not in params:
            raise NotFound("parameter", self.name, params)
        return params[self.name]

    def __str__(self) -> str:
        return f"{{{{ params[{self.name!r}] }}}}"

    def __repr__(self) -> str:
        return f"<Param {self.name}>"


def references(value: Any) -> Iterator[Reference]:
    """Every reference in ``value``, in lists, tuples, sets and dictionaries too."""
    yield from _references(value, set())


def _references(value: Any, seen: set[int]) -> Iterator[Reference]:
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset, dict)) and id(value) not in seen:
        seen.add(id(value))
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item, seen)


def resolve(value: Any, context: Context) -> Any:
    """``value`` with every reference in it replaced by what it stands for; the same object when there is none."""
    if isinstance(value, Reference):
        return value.resolve(context)
    if next(references(value), None) is None:
        return value
    if isinstance(value, dict):
        return {key: resolve(item, context) for key, item in value.items()}
    items = [resolve(item, context) for item in value]
    return _rebuild(value, items)


def _rebuild(value: Any, items: list[Any]) -> Any:
    make: Callable[[list[Any]], Any] = getattr(type(value), "_make", type(value))
    return make(items)
