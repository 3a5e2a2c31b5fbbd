"""Dependencies: ``>>`` and ``<<``, lists on either side, labels, and the functions that draw many edges at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from clockmill.errors import DagDefinitionError

if TYPE_CHECKING:
    from clockmill.model.dag import DAG
    from clockmill.model.operator import BaseOperator

T = TypeVar("T")


class Linkable:
    """What can stand in a dependency: a task, the output of a task, a task group."""

    @property
    def dag(self) -> DAG | None:
        """The DAG that it belongs to, if any yet."""
        raise NotImplementedError

    @property
    def roots(self) -> Sequence[BaseOperator]:
        """The tasks that an edge from above leads to."""
        raise NotImplementedError

    @property
    def leaves(self) -> Sequence[BaseOperator]:
        """The tasks that an edge to below comes from."""
        raise NotImplementedError

    def join_dag(self, dag: DAG) -> None:
        """Become part of ``dag``, when it is part of none."""
        raise NotImplementedError

    def set_downstream(self, task_or_task_list: Any, edge_modifier: Label | None = None) -> None:
        """Let the given task, group or list of them come after this.

        :raises DagDefinitionError: when something else is given, or a task of another DAG.
        """
        link(self, task_or_task_list, edge_modifier)

    def set_upstream(self, task_or_task_list: Any, edge_modifier: Label | None = None) -> None:
        """Let the given task, group or list of them come before this.

        :raises DagDefinitionError: when something else is given, or a task of another DAG.
        """
        link(task_or_task_list, self, edge_modifier)

    def __rshift__(self, other: T) -> T:
        return _shift(self, other, forwards=True)

    def __lshift__(self, other: T) -> T:
        return _shift(self, other, forwards=False)

    def __rrshift__(self, other: Any) -> Linkable:
        link(other, self)
        return self

    def __rlshift__(self, other: Any) -> Linkable:
        link(self, other)
        return self


class Label:
    """A text on an edge: ``check >> Label("no errors") >> save``.

    :param label: the text.
    """

    def __init__(self, label: str) -> None:
        if not isinstance(label, str):
            raise DagDefinitionError(f"Label takes a string, not {label!r}.")
        self.label = label

    def __rrshift__(self, other: Any) -> _LabelledEnd:
        return _LabelledEnd(other, self, forwards=True)

    def __rlshift__(self, other: Any) -> _LabelledEnd:
        return _LabelledEnd(other, self, forwards=False)

    def __repr__(self) -> str:
        return f"Label({self.label!r})"


class _LabelledEnd:
    """``a >> Label("x")``: one end of an edge and its text, waiting for the other end."""

    def __init__(self, end: Any, label: Label, *, forwards: bool) -> None:
        list(flatten(end))  # a wrong end is refused here, where its author sees it
        self._end, self._label, self._forwards = end, label, forwards

    def __rshift__(self, other: T) -> T:
        return self._finish(other, ">>", forwards=True)

    def __lshift__(self, other: T) -> T:
        return self._finish(other, "<<", forwards=False)

    def _finish(self, other: T, sign: str, *, forwards: bool) -> T:
        if forwards is not self._forwards:
            raise DagDefinitionError(f"Both signs around {self._label!r} must point the same way; this one is {sign}.")
        if forwards:
            link(self._end, other, self._label)
        else:
            link(other, self._end, self._label)
        return other


def _shift(left: Linkable, right: T, *, forwards: bool) -> T:
    if isinstance(right, Label):
        return _LabelledEnd(left, right, forwards=forwards)  # type: ignore[return-value]
    if forwards:
        link(left, right)
    else:
        link(right, left)
    return right


def flatten(value: Any) -> Iterator[Linkable]:
    """Everything that can be linked in ``value``, lists taken apart.

    :raises DagDefinitionError: when there is something else in it.
    """
    if isinstance(value, Linkable):
        yield value
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from flatten(item)
    else:
        call = f" Call it first: {value.__name__}()." if callable(value) and hasattr(value, "__name__") else ""
        raise DagDefinitionError(
            f"A dependency is drawn between tasks, task groups and lists of them, not {value!r}.{call}"
        )


def link(upstream: Any, downstream: Any, label: Label | None = None) -> None:
    """Let every task of ``downstream`` come after every task of ``upstream``.

    :raises DagDefinitionError: when one of them cannot be linked, or they are of different DAGs.
    """
    lower = list(flatten(downstream))
    for up in flatten(upstream):
        for down in lower:
            _common_dag(up, down).add_edge(up, down, label.label if label else None)


def _common_dag(up: Linkable, down: Linkable) -> DAG:
    dag = up.dag or down.dag
    if dag is None:
        raise DagDefinitionError(f"{up!r} and {down!r} belong to no DAG yet; give one of them the argument dag.")
    for end in (up, down):
        if end.dag is None:
            end.join_dag(dag)
        elif end.dag is not dag:
            raise DagDefinitionError(
                f"{up!r} of DAG {dag.dag_id!r} and {down!r} of DAG {end.dag.dag_id!r} cannot be linked; "
                "an edge stays within one DAG."
            )
    return dag


def chain(*tasks: Any) -> None:
    """Draw edges along a row: each item comes after the one before.

    Two neighbouring lists of the same length are linked pairwise. A :class:`Label`, or a list of them, between two
    items labels their edges.

    :raises DagDefinitionError: when two neighbouring lists differ in length.
    """
    before: Any = None
    label: Any = None
    for item in tasks:
        if _is_label(item):
            label = item
            continue
        if before is not None:
            _link_pairwise(before, item, label)
        before, label = item, None


def _is_label(item: Any) -> bool:
    if isinstance(item, (list, tuple)):
        return bool(item) and all(isinstance(one, Label) for one in item)
    return isinstance(item, Label)


def _link_pairwise(left: Any, right: Any, label: Any) -> None:
    widths = {len(side) for side in (left, right, label) if isinstance(side, (list, tuple))}
    if len(widths) > 1:
        found = " and ".join(str(width) for width in sorted(widths))
        raise DagDefinitionError(f"chain() links neighbouring lists of the same length; these have {found} items.")
    for pair in zip(*(_wide(side, max(widths, default=1)) for side in (left, right, label)), strict=True):
        link(*pair)


def _wide(side: Any, width: int) -> Sequence[Any]:
    return side if isinstance(side, (list, tuple)) else [side] * width


def chain_linear(*elements: Any) -> None:
    """Draw edges along a row, from every task of an item to every task of the next; empty lists are left out.

    :raises DagDefinitionError: when there are fewer than two items that hold tasks.
    """
    rows = [row for row in elements if _is_label(row) or list(flatten(row))]
    if sum(not _is_label(row) for row in rows) < 2:
        raise DagDefinitionError("chain_linear() needs at least two tasks or lists of tasks.")
    before: Any = None
    label: Label | None = None
    for row in rows:
        if isinstance(row, Label):
            label = row
            continue
        if before is not None:
            link(before, row, label)
        before, label = row, None


def cross_downstream(from_tasks: Iterable[Any], to_tasks: Any) -> None:
    """Let every task of ``to_tasks`` come after every task of ``from_tasks``.

    :raises DagDefinitionError: when something else than a task is given.
    """
    link(list(from_tasks) if not isinstance(from_tasks, Linkable) else from_tasks, to_tasks)
