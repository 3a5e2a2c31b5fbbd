"""Values that exist only at run time: the output of a task, a parameter of the DAG."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self

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

    def outputs(self) -> Iterator[XComArg]:
        """The outputs of tasks that it is made of, which have to be there first."""
        return iter(())

    def check_use(self, task: BaseOperator) -> None:
        """Refuse a task that cannot know the value.

        :raises DagDefinitionError: when it cannot.
        """


class Values(Reference, Linkable):
    """A list or dictionary to come, whose elements a task can be mapped over; a dictionary has pairs for elements.

    Its length and each of its elements can be found out without the rest.
    """

    def shape(self) -> dict[str, Any]:
        """What of it the scheduler has to know; see :class:`clockmill.state.expansion.Expansion`."""
        raise NotImplementedError

    def length(self, context: Context) -> int:
        """How many elements it has.

        :raises UsageError: when a task gave neither a list nor a dictionary.
        """
        raise NotImplementedError

    @property
    def known_length(self) -> int | None:
        """How many elements it has when the file alone says it, else None."""
        return None

    def element(self, context: Context, index: int) -> Any:
        """The element at ``index``, from 0.

        :raises UsageError: when it has fewer.
        """
        raise NotImplementedError

    def elements(self, context: Context) -> Iterator[Any]:
        """All of them in turn, never all at once."""
        raise NotImplementedError

    def map(self, function: Callable[[Any], Any]) -> Values:
        """The same with ``function`` called on each element, in the process of the task that uses it.

        :raises DagDefinitionError: when it is no plain function.
        """
        from clockmill.model.derived import MapXComArg

        return MapXComArg(self, function)

    def zip(self, *others: Any, **fillvalue: Any) -> Values:
        """Tuples of one element of this and of each of the others, up to the end of the shortest.

        :param fillvalue: ``fillvalue=`` stands in for what the shorter ones lack, up to the end of the longest.
        """
        from clockmill.model.derived import ZipXComArg

        return ZipXComArg((self, *others), **fillvalue)

    def concat(self, *others: Any) -> Values:
        """The elements of this, then those of the others."""
        from clockmill.model.derived import ConcatXComArg

        return ConcatXComArg((self, *others))

    @property
    def dag(self) -> DAG | None:
        return next((output.operator.dag for output in self.outputs() if output.operator.dag), None)

    @property
    def roots(self) -> Sequence[BaseOperator]:
        return [root for output in self.outputs() for root in output.operator.roots]

    @property
    def leaves(self) -> Sequence[BaseOperator]:
        return [leaf for output in self.outputs() for leaf in output.operator.leaves]

    def join_dag(self, dag: DAG) -> None:
        for output in self.outputs():
            output.operator.join_dag(dag)

    def __iter__(self) -> NoReturn:
        raise DagDefinitionError(
            f"{self!r} is not known before the run, so it cannot be looped over or unpacked when the file is loaded; "
            "to run a task for each element, map it: task.expand(argument=...)."
        )


class XComArg(Values):
    """What a task returns, or one of the values that it pushes: given to another task, it draws the edge as well.

    :param operator: the task.
    :param key: the XCom key; the value returned by default.
    """

    def __init__(self, operator: BaseOperator, key: str = RETURN_VALUE) -> None:
        self.operator = operator
        self.key = key

    def resolve(self, context: Context) -> Any:
        """The value in the run of ``context``; None when the task returned nothing, for a mapped task the sequence of
        what its instances returned.

        :raises NotFound: when the task pushed no value under this key.
        """
        if self._has_several(context):
            return self._all(context)
        value = context["ti"].xcom_pull(task_ids=self.operator.task_id, key=self.key, default=_MISSING)
        if value is not _MISSING:
            return value
        if self.key == RETURN_VALUE:
            return None
        raise NotFound("XCom", f"{self.key} of task {self.operator.task_id}")

    def outputs(self) -> Iterator[XComArg]:
        yield self

    def shape(self) -> dict[str, Any]:
        return {"xcom": [self.operator.task_id, self.key]}

    def length(self, context: Context) -> int:
        if self._has_several(context):
            return len(self._all(context))
        length: int = context["ti"].xcom_length(self.operator.task_id, self.key)
        return length

    def element(self, context: Context, index: int) -> Any:
        if self._has_several(context):
            return self._all(context)[index]
        return context["ti"].xcom_element(self.operator.task_id, self.key, index)

    def elements(self, context: Context) -> Iterator[Any]:
        value = self.resolve(context)
        yield from value.items() if isinstance(value, Mapping) else value

    def _has_several(self, context: Context) -> bool:
        """Whether the task has several instances as seen from the one that asks."""
        groups = self.operator.mapped_groups
        return self.operator.mapping is not None or (bool(groups) and context["task"].shares(groups) < len(groups))

    def _all(self, context: Context) -> Sequence[Any]:
        found: Sequence[Any] = context["ti"].xcom_sequence(self.operator.task_id, self.key)
        return found

    def as_setup(self) -> Self:
        """Make the task a setup; see :meth:`BaseOperator.as_setup`."""
        self.operator.as_setup()
        return self

    def as_teardown(self, *, setups: Any = None, on_failure_fail_dagrun: bool | None = None) -> Self:
        """Make the task a teardown; see :meth:`BaseOperator.as_teardown`."""
        self.operator.as_teardown(setups=setups, on_failure_fail_dagrun=on_failure_fail_dagrun)
        return self

    def __enter__(self) -> Any:
        return self.operator.__enter__()

    def __exit__(self, *error: object) -> None:
        self.operator.__exit__(*error)

    def __getitem__(self, key: str) -> XComArg:
        if not isinstance(key, str):
            raise DagDefinitionError(f"{self!r} is indexed by the key of an XCom, a string, not by {key!r}.")
        if self.key != RETURN_VALUE:
            raise DagDefinitionError(f"{self!r} names a key already; take a value apart inside the task that uses it.")
        return XComArg(self.operator, key)

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
