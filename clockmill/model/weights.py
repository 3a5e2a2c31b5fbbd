"""Which of the waiting tasks go first: the rules that make the priority of a task of its weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from clockmill.errors import DagDefinitionError
from clockmill.model import checks
from clockmill.model.graph import clamped, summed_weights

if TYPE_CHECKING:
    from clockmill.model.operator import BaseOperator


class WeightRule(StrEnum):
    """Whose weights count for the priority of a task."""

    DOWNSTREAM = "downstream"  #: its own and those of all tasks below
    UPSTREAM = "upstream"  #: its own and those of all tasks above
    ABSOLUTE = "absolute"  #: its own alone


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedTask:
    """The task that a strategy is asked about. It is asked once, when the file is read, before there is any run.

    :param task: the operator, with its ``dag`` and ``priority_weight``.
    """

    task: BaseOperator
    task_id: str
    dag_id: str
    try_number: int = 1
    map_index: int = -1
    run_id: str | None = None


class PriorityWeightStrategy:
    """A rule of the author's own: subclass it, define :meth:`get_weight`, and give the class as ``weight_rule``."""

    def get_weight(self, ti: WeighedTask) -> int:
        """The priority of a task; among the waiting ones the higher goes first."""
        raise NotImplementedError(f"{type(self).__name__} has no method get_weight.")


Rule = WeightRule | PriorityWeightStrategy


def weight_rule(value: Any) -> Rule:
    """The name of a rule, or a strategy: an instance, or a class that is made without arguments."""
    if isinstance(value, PriorityWeightStrategy):
        return value
    if isinstance(value, type) and issubclass(value, PriorityWeightStrategy):
        return value()
    return WeightRule(checks.one_of(WeightRule)(value))


def effective_weights(dag_id: str, tasks: Iterable[BaseOperator]) -> dict[str, int]:
    """The priority of each task of a DAG, by its rule; what does not fit in 32 bits is cut off.

    :raises DagDefinitionError: when a strategy gives no whole number.
    """
    tasks = list(tasks)
    own = {task.task_id: task.priority_weight for task in tasks}
    rules = {task.weight_rule for task in tasks}
    sums: dict[Rule, Mapping[str, int]] = {WeightRule.ABSOLUTE: own}
    if WeightRule.DOWNSTREAM in rules:
        sums[WeightRule.DOWNSTREAM] = summed_weights({task.task_id: task.downstream_task_ids for task in tasks}, own)
    if WeightRule.UPSTREAM in rules:
        sums[WeightRule.UPSTREAM] = summed_weights({task.task_id: task.upstream_task_ids for task in tasks}, own)
    return {
        task.task_id: _asked(dag_id, task, task.weight_rule)
        if isinstance(task.weight_rule, PriorityWeightStrategy)
        else clamped(sums[task.weight_rule][task.task_id])
        for task in tasks
    }


def _asked(dag_id: str, task: BaseOperator, strategy: PriorityWeightStrategy) -> int:
    weight: Any = strategy.get_weight(WeighedTask(task=task, task_id=task.task_id, dag_id=dag_id))
    if not isinstance(weight, int) or isinstance(weight, bool):
        name = type(strategy).__name__
        raise DagDefinitionError(
            f"DAG {dag_id!r}: {name}.get_weight of task {task.task_id!r} must give a whole number, not {weight!r}."
        )
    return clamped(weight)
