"""What mapped tasks take of the values that they are mapped over, handed over with their workloads.

A task can ask for its element, but ten thousand tasks of one list would ask ten thousand times. The lists are split as
JSON text into JSON texts; nothing of a user's is decoded. Whatever is not handed over, the task asks for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from clockmill.scheduler.views import RunView
from clockmill.state import Expansion, TaskState
from clockmill.state.graph import common_depth, cut, depth_of
from clockmill.storage.engine import Connection
from clockmill.storage.records import TaskRow
from clockmill.storage.xcoms import short_xcom
from clockmill.xcom import element, parts

#: Characters of JSON text: of an element that is handed over, of a value that is split, of all that are remembered.
LONGEST_ELEMENT = 8 << 10
LONGEST_VALUE = 1 << 20
_LONGEST_MEMORY = 4 << 20
#: A value of which so many handovers took nothing may be forgotten for another.
_IDLE_TURNS = 1000
_ROW_SIZE = 200

Elements = list[tuple[str, str, int, list[tuple[int, str]]]]


class Handover:
    """Finds the elements, and remembers the values that they are taken from."""

    def __init__(self) -> None:
        self._values = Values()

    def elements(self, connection: Connection, view: RunView, row: TaskRow) -> Elements:
        """What a task instance takes, as :class:`~clockmill.protocols.Workload` has it; empty for one not mapped."""
        found: dict[tuple[str, str], tuple[int, dict[int, str]]] = {}
        for over in _expansions(view, row):
            values = {xcom: self._value(connection, view, over.scope, over.groups, *xcom) for xcom in over.what.xcoms()}
            known = {xcom: value for xcom, value in values.items() if value is not None}
            if known:
                _collect(over.what, over.item, known, found)
        return [(*xcom, length, list(texts.items())) for xcom, (length, texts) in found.items()]

    def _value(
        self, connection: Connection, view: RunView, scope: str, groups: tuple[str, ...], task_id: str, key: str
    ) -> list[Any] | None:
        """The elements of what a task pushed; None when it has several instances there, or is too long."""
        node = view.plan.graph[task_id]
        prefix = cut(scope, common_depth(groups, node.groups))
        if node.expansion is not None or len(node.groups) > depth_of(prefix):
            return None
        keys = view.progress.instances_under(task_id, prefix)
        source = view.task(keys[0]) if len(keys) == 1 else None
        if source is None or source.state is not TaskState.SUCCESS:
            return None
        # The values of a try never change, and no other try of the instance ends at that moment.
        place = (source.dag_run_id, source.id, source.try_number, source.end_date, key)
        return self._values.get(place, lambda: short_xcom(connection, source.id, key, LONGEST_VALUE))


@dataclass(frozen=True, slots=True)
class _Over:
    """Something that a task instance is mapped over, itself or with a group around it.

    :param item: which instance it is.
    :param groups: the mapped groups around what is mapped.
    """

    what: Expansion
    item: int
    scope: str
    groups: tuple[str, ...]


def _expansions(view: RunView, row: TaskRow) -> Iterator[_Over]:
    graph = view.plan.graph
    node = graph[row.task_id]
    if node.expansion is not None:
        yield _Over(node.expansion, max(row.item, 0), row.scope, node.groups)
    for group_id, index in zip(node.groups, row.scope.split("."), strict=False):
        if index:
            group = graph.mapped_groups[group_id]
            yield _Over(group.expansion, int(index), row.scope, group.groups[:-1])


def _collect(
    what: Expansion,
    item: int,
    known: dict[tuple[str, str], list[Any]],
    found: dict[tuple[str, str], tuple[int, dict[int, str]]],
) -> None:
    def length(task_id: str, key: str) -> int | None:
        value = known.get((task_id, key))
        return None if value is None else len(value)

    for xcom, value in known.items():
        found.setdefault(xcom, (len(value), {}))
    for task_id, key, index in what.picks(item, length):
        text = _text(known.get((task_id, key)), index)
        if text is not None and len(text) <= LONGEST_ELEMENT:
            found[task_id, key][1][index] = text


@dataclass(slots=True)
class _Kept:
    parts: list[Any] | None
    size: int
    used: int


class Values:
    """Split values, as many as there is room for. When all of them are in use, no other is taken up: to read and split
    them in turn again and again would cost more than the questions of the tasks."""

    def __init__(self, most: int = _LONGEST_MEMORY, idle: int = _IDLE_TURNS) -> None:
        self._most = most
        self._idle = idle
        self._kept: OrderedDict[Any, _Kept] = OrderedDict()
        self._size = 0
        self._turn = 0

    def get(self, place: Any, read: Callable[[], str | None]) -> list[Any] | None:
        """The elements of a value; None when it has none that are handed over.

        :param place: what tells it from all others that ever were.
        :param read: gives its JSON text, or None when it is too long.
        """
        self._turn += 1
        kept = self._kept.get(place)
        if kept is None:
            if not self._has_room():
                return None
            text = read()
            kept = self._kept[place] = _Kept(_split(text), len(text or "") + _ROW_SIZE, self._turn)
            self._size += kept.size
        kept.used = self._turn
        self._kept.move_to_end(place)
        return kept.parts

    def _has_room(self) -> bool:
        while self._size >= self._most:
            place, oldest = next(iter(self._kept.items()))
            if self._turn - oldest.used < self._idle:
                return False
            self._size -= oldest.size
            del self._kept[place]
        return True


# What a task reported may be anything. The one that reads it will say what is wrong with it.


def _split(text: str | None) -> list[Any] | None:
    try:
        found = None if text is None else parts(text)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _text(value: list[Any] | None, index: int) -> str | None:
    try:
        return element(value, index)
    except RecursionError:
        return None
