"""A run that ``dag.test()`` holds in memory, and what the tasks in it are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clockmill.errors import NotFound, UsageError
from clockmill.protocols import RunRequest, StatesQuery, StatesSeen, XComQuery
from clockmill.runtime.beyond import states_beyond
from clockmill.runtime.local_values import LocalValues
from clockmill.state import RunState, TaskKey, TaskState
from clockmill.xcom import RETURN_KEY, decode, element, length, parts


@dataclass(kw_only=True)
class TestedTask:
    """A task instance of a finished run.

    :param map_index: which instance of a mapped task it is; -1 for a plain task.
    :param try_number: the last try; 0 for a task that never ran.
    :param reason: why it is in that state, empty after a success.
    :param label: ``map_index_template`` filled in, or empty.
    """

    __test__ = False  # no test class, whatever pytest makes of its name

    task_id: str
    map_index: int = -1
    scope: str = ""
    item: int = -1
    state: TaskState = TaskState.NONE
    try_number: int = 0
    reason: str = ""
    label: str = ""
    start_date: datetime | None = None
    end_date: datetime | None = None
    xcoms: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The task id, with the map index of a mapped task."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"

    def xcom_pull(self, key: str = RETURN_KEY, default: Any = None) -> Any:
        """What the task pushed under ``key``."""
        return decode(self.xcoms[key], allow_classes=True) if key in self.xcoms else default


@dataclass(kw_only=True)
class TestedRun:
    """A finished run of a DAG in this process.

    :param order: the task ids in the order of definition.
    :param triggered: the runs of DAGs that its tasks asked for; here, nobody makes them.
    """

    __test__ = False

    dag_id: str
    run_id: str
    run_after: datetime
    logical_date: datetime
    conf: dict[str, Any]
    state: RunState = RunState.RUNNING
    tasks: dict[TaskKey, TestedTask] = field(default_factory=dict, repr=False)
    order: list[str] = field(default_factory=list, repr=False)
    triggered: list[RunRequest] = field(default_factory=list, repr=False)

    def get_task_instances(self, task_id: str | None = None) -> list[TestedTask]:
        """The task instances, or those of one task, in the order of the DAG's definition and of their map index."""
        if task_id is not None:
            found = [each for each in self.tasks.values() if each.task_id == task_id]
            return sorted(found, key=lambda each: each.map_index)
        place = {name: number for number, name in enumerate(self.order)}
        return sorted(self.tasks.values(), key=lambda each: (place.get(each.task_id, -1), each.map_index))

    def get_task_instance(self, task_id: str, map_index: int | None = None) -> TestedTask:
        """The task instance of that task.

        :param map_index: which one, when the task is mapped.
        :raises NotFound: when the DAG has no such task, or the task no such instance.
        :raises UsageError: when there are several and none was named.
        """
        found = self.get_task_instances(task_id)
        if not found:
            raise NotFound("task", task_id, self.order)
        if map_index is None and len(found) > 1:
            raise UsageError(f"Task {task_id!r} has {len(found)} instances; name one by its map_index.")
        wanted = found[0].map_index if map_index is None else map_index
        for each in found:
            if each.map_index == wanted:
                return each
        raise NotFound("task instance", f"{task_id}[{map_index}]", [each.name for each in found])

    def xcom_pull(self, task_id: str, key: str = RETURN_KEY, default: Any = None) -> Any:
        """What a task pushed under ``key``; of a mapped task, the list of what its instances did."""
        found = self.get_task_instances(task_id)
        if found and found[0].map_index >= 0:
            return [each.xcom_pull(key) for each in found if key in each.xcoms]
        return self.get_task_instance(task_id).xcom_pull(key, default)


class RunChannel:
    """Answers a task from what the run holds in memory; satisfies :class:`~clockmill.runtime.channel.TaskChannel`."""

    def __init__(self, run: TestedRun, values: LocalValues) -> None:
        self._run = run
        self._values = values

    def get_xcoms(self, query: XComQuery) -> list[tuple[str, int, str]]:
        found = list(self._found(query))
        stop = None if query.limit is None else query.offset + query.limit
        texts = [(task, task.xcoms[query.key]) for task in found[query.offset : stop]]
        if query.element is not None:
            picked = [(task, element(parts(text), query.element)) for task, text in texts]
            texts = [(task, text) for task, text in picked if text is not None]
        return [(task.task_id, task.map_index, text) for task, text in texts]

    def measure_xcoms(self, query: XComQuery) -> tuple[int, int | None]:
        lengths = [length(task.xcoms[query.key]) for task in self._found(query)]
        return len(lengths), max((each for each in lengths if each is not None), default=None)

    def _found(self, query: XComQuery) -> Iterator[TestedTask]:
        if (query.dag_id, query.run_id) != (self._run.dag_id, self._run.run_id):
            return
        for task in self._run.get_task_instances():
            if (
                query.key in task.xcoms
                and (query.task_ids is None or task.task_id in query.task_ids)
                and (query.map_indexes is None or task.map_index in query.map_indexes)
                and _is_in_scope(task.scope, query)
            ):
                yield task

    def get_previous_run(self) -> dict[str, str | None]:
        return {}

    def get_variable(self, key: str) -> str | None:
        return self._values.variable(key)

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        return self._values.connection(conn_id)

    def get_states(self, query: StatesQuery) -> StatesSeen:
        return states_beyond(query)

    def started(self, at: str) -> None:
        """Nobody else watches."""


def _is_in_scope(scope: str, query: XComQuery) -> bool:
    if query.scope is None or scope == query.scope:
        return True
    return query.is_within and scope.startswith(f"{query.scope}.")
