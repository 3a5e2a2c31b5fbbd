"""What a task reads of others: whole values, one element of a long list, the values of a mapped task one by one.

A task in a mapped group sees the values of its own instance of the group; from outside, all instances are seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from clockmill.errors import NotFound, UsageError
from clockmill.model.operator import BaseOperator
from clockmill.protocols import Workload, XComQuery
from clockmill.runtime.channel import TaskChannel
from clockmill.state.graph import cut
from clockmill.xcom import DatabaseBackend, LazySequence, XComBackend, decode, element, parts

_PAGE = 200

Row = tuple[str, int, str]


class Place(NamedTuple):
    """Where the values of another task are, as seen from the one that runs.

    :param scope: the instance of the mapped groups that both are in; None when they share none.
    :param is_within: whether there are further mapped groups around the other one.
    :param is_several: whether it has several instances there.
    """

    scope: str | None = None
    is_within: bool = False
    is_several: bool = False


class XComs:
    """The XComs that one attempt reads.

    :param own: what this attempt pushed itself so far: key -> JSON text.
    """

    def __init__(
        self, workload: Workload, channel: TaskChannel, backend: XComBackend, task: BaseOperator, own: dict[str, str]
    ) -> None:
        self._workload = workload
        self._channel = channel
        self._backend = backend
        self._task = task
        self._own = own

    def pull(
        self,
        task_ids: str | Iterable[str] | None,
        key: str,
        dag_id: str | None,
        run_id: str | None,
        map_indexes: int | Iterable[int] | None,
        include_prior_dates: bool,
        default: Any,
    ) -> Any:
        """See :meth:`clockmill.runtime.instance.TaskInstance.xcom_pull`."""
        names = [task_ids] if isinstance(task_ids, str) else None if task_ids is None else list(task_ids)
        query = XComQuery(
            dag_id=dag_id or self._workload.dag_id,
            run_id=run_id or self._workload.run_id,
            key=key,
            task_ids=names,
            map_indexes=_indexes(map_indexes),
            include_prior_dates=include_prior_dates,
        )
        if names is None:
            rows = self._pushed(query) or self._channel.get_xcoms(query)
            return self._load(rows[0][2]) if rows else default
        is_here = (query.dag_id, query.run_id) == (self._workload.dag_id, self._workload.run_id)
        places = {name: self._place(name) if is_here and map_indexes is None else Place() for name in names}
        rows = self._pushed(query) + self._rows(query, places)
        one = isinstance(map_indexes, int)
        values = [self._value_of(name, rows, places[name], one, default) for name in names]
        return values[0] if isinstance(task_ids, str) else values

    def sequence(self, task_id: str, key: str) -> LazyXComSequence:
        """The values of a task that has several instances."""
        return LazyXComSequence(self, self._channel, self._query(task_id, key))

    def length(self, task_id: str, key: str) -> int:
        """How many elements the value of a task has.

        :raises UsageError: when it is neither a list nor a mapping.
        """
        if handed := self._handed(task_id, key):
            return handed[0]
        number, length = self._channel.measure_xcoms(self._query(task_id, key))
        if length is None:
            what = "gave no value" if not number else "gave neither a list nor a dictionary"
            raise UsageError(f"Task {self._task.task_id!r} is mapped over the value of {task_id!r}, but that {what}.")
        return length

    def element(self, task_id: str, key: str, index: int) -> Any:
        """One element of the value of a task, without the rest; of a mapping, the pair.

        :raises NotFound: when the value has no such element.
        """
        handed = self._handed(task_id, key)
        if handed and index in handed[1]:
            return decode(handed[1][index], allow_classes=True)
        query = self._query(task_id, key)
        if isinstance(self._backend, DatabaseBackend):
            texts: list[str | None] = [text for _, _, text in self._channel.get_xcoms(replace(query, element=index))]
        else:
            texts = [element(parts(self._backend.load(text)), index) for _, _, text in self._channel.get_xcoms(query)]
        if not texts or texts[0] is None:
            raise NotFound(f"element {index} in the value of task", task_id)
        return decode(texts[0], allow_classes=True)

    def load(self, rows: Iterable[Row]) -> Iterator[Any]:
        """The values in ``rows``."""
        return (self._load(text) for _, _, text in rows)

    def _handed(self, task_id: str, key: str) -> tuple[int, dict[int, str]] | None:
        """How long the value of a task is, and what of it came with the workload; None when nothing did.

        What another backend has stored is its own business: the scheduler took that for the value.
        """
        if not isinstance(self._backend, DatabaseBackend):
            return None
        for name, its_key, length, texts in self._workload.elements:
            if (name, its_key) == (task_id, key):
                return length, dict(texts)
        return None

    def _query(self, task_id: str, key: str) -> XComQuery:
        place = self._place(task_id)
        return XComQuery(
            dag_id=self._workload.dag_id,
            run_id=self._workload.run_id,
            task_ids=[task_id],
            key=key,
            scope=place.scope,
            is_within=place.is_within,
        )

    def _place(self, task_id: str) -> Place:
        other = self._task.dag.task_dict.get(task_id) if self._task.dag else None
        if other is None:
            return Place()
        groups = other.mapped_groups
        depth = self._task.shares(groups)
        is_within = depth < len(groups)
        scope = cut(self._workload.scope, depth) if depth else None
        return Place(scope, is_within, is_within or other.mapping is not None)

    def _rows(self, query: XComQuery, places: dict[str, Place]) -> list[Row]:
        """What is found, with one question for all tasks of one scope."""
        scopes: dict[tuple[str | None, bool], list[str]] = {}
        for name, place in places.items():
            scopes.setdefault((place.scope, place.scope is not None and place.is_within), []).append(name)
        found: list[Row] = []
        for (scope, is_within), names in scopes.items():
            found += self._channel.get_xcoms(replace(query, task_ids=names, scope=scope, is_within=is_within))
        return found

    def _pushed(self, query: XComQuery) -> list[Row]:
        """What this attempt pushed itself, when it is asked for."""
        mine = self._workload
        is_mine = (
            (query.dag_id, query.run_id) == (mine.dag_id, mine.run_id)
            and (query.task_ids is None or mine.task_id in query.task_ids)
            and (query.map_indexes is None or mine.map_index in query.map_indexes)
        )
        text = self._own.get(query.key) if is_mine else None
        return [] if text is None else [(mine.task_id, mine.map_index, text)]

    def _value_of(self, name: str, rows: Sequence[Row], place: Place, one_index: bool, default: Any) -> Any:
        # The first row of an index is the newest; what this try pushed comes before all.
        texts: dict[int, str] = {}
        for task_id, map_index, text in rows:
            if task_id == name:
                texts.setdefault(map_index, text)
        if not texts:
            return default
        if one_index or -1 in texts or (place.scope is not None and not place.is_several):
            return self._load(texts[-1] if -1 in texts else next(iter(texts.values())))
        return [self._load(texts[index]) for index in sorted(texts)]

    def _load(self, text: str) -> Any:
        return decode(self._backend.load(text), allow_classes=True)


class LazyXComSequence(LazySequence):
    """The values of a mapped task in the order of the map indexes, looked up when they are asked for."""

    def __init__(self, xcoms: XComs, channel: TaskChannel, query: XComQuery) -> None:
        self._xcoms = xcoms
        self._channel = channel
        self._query = query
        self._length: int | None = None

    def __len__(self) -> int:
        if self._length is None:
            self._length, _ = self._channel.measure_xcoms(self._query)
        return self._length

    def at(self, index: int) -> Any:
        rows = self._channel.get_xcoms(replace(self._query, offset=index, limit=1)) if index >= 0 else []
        if not rows:
            raise IndexError(f"{self!r} has no element {index}")
        return next(self._xcoms.load(rows))

    def part(self, start: int, stop: int) -> Iterator[Any]:
        for offset in range(start, stop, _PAGE):
            page = replace(self._query, offset=offset, limit=min(_PAGE, stop - offset))
            yield from self._xcoms.load(self._channel.get_xcoms(page))


def _indexes(map_indexes: int | Iterable[int] | None) -> list[int] | None:
    if isinstance(map_indexes, int):
        return [map_indexes]
    return None if map_indexes is None else list(map_indexes)
