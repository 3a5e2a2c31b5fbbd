"""Whether the tasks of a DAG go to executors that are there, and say what these understand."""

from __future__ import annotations

from clockmill.errors import DagDefinitionError, did_you_mean
from clockmill.executors import registry
from clockmill.model.dag import DAG
from clockmill.model.operator import BaseOperator


def refuse_wrong_executors(dag: DAG, chosen: str) -> None:
    """Refuse tasks that name an executor which does not run here, or whose ``executor_config`` it does not take.

    :param chosen: ``[core] executor``.
    :raises DagDefinitionError: naming the task.
    :raises ConfigError: when the class of the executor of a task with an ``executor_config`` cannot be loaded.
    """
    targets = registry.chosen(chosen)
    for task in dag.tasks:
        if task.executor is not None and task.executor not in targets:
            raise DagDefinitionError(
                f"{_owner(dag, task)}: there is no executor {task.executor!r}.{did_you_mean(task.executor, targets)} "
                f"[core] executor names {', '.join(targets)}.",
                line=dag.line,
            )
        if task.executor_config:
            _check_config(dag, task, targets)


def _check_config(dag: DAG, task: BaseOperator, targets: dict[str, str]) -> None:
    name = task.executor or next(iter(targets))
    if problem := registry.config_problem(targets[name], dict(task.executor_config)):
        raise DagDefinitionError(
            f"{_owner(dag, task)}: the executor {name!r} does not take its executor_config: {problem}", line=dag.line
        )


def _owner(dag: DAG, task: BaseOperator) -> str:
    return f"DAG {dag.dag_id!r}, task {task.task_id!r}"
