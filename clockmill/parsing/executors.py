"""Whether the tasks of a DAG go to executors that are there, and say what these understand."""

from __future__ import annotations

from clockmill.errors import DagDefinitionError
from clockmill.executors import registry
from clockmill.model.dag import DAG
from clockmill.model.operator import BaseOperator


def refuse_wrong_executors(dag: DAG, chosen: str) -> None:
    """Refuse tasks for an executor that does not run here, that does not take their ``executor_config``, or that
    cannot act on their ``run_as_user``.

    :param chosen: ``[core] executor``.
    :raises DagDefinitionError: naming the task.
    :raises ConfigError: when the class of the executor of a task with an ``executor_config`` cannot be loaded.
    """
    targets = registry.chosen(chosen)
    for task in dag.tasks:
        if task.executor is not None and task.executor not in targets:
            raise DagDefinitionError(
                f"{_owner(dag, task)}: there is no executor {task.executor!r}."
                f"{registry.suggestion(task.executor, targets)} [core] executor names {', '.join(targets)}.",
                line=dag.line,
            )
        if task.executor_config:
            _check_config(dag, task, targets)
    _check_users(dag, targets)


def _check_users(dag: DAG, targets: dict[str, str]) -> None:
    # Left undone it would run with the rights of the scheduler, which are what the author wanted to be rid of.
    others = {task.executor or next(iter(targets)): task for task in dag.tasks if task.run_as_user is not None}
    for name, task in others.items():
        if not registry.switches_users(targets[name]):
            raise DagDefinitionError(
                f"{_owner(dag, task)}: the executor {name!r} cannot act on run_as_user={task.run_as_user!r}: all that "
                "it runs belongs to its own user. Send the task to the executor subprocess, or leave that out.",
                line=dag.line,
            )


def _check_config(dag: DAG, task: BaseOperator, targets: dict[str, str]) -> None:
    name = task.executor or next(iter(targets))
    if problem := registry.config_problem(targets[name], dict(task.executor_config)):
        raise DagDefinitionError(
            f"{_owner(dag, task)}: the executor {name!r} does not take its executor_config: {problem}", line=dag.line
        )


def _owner(dag: DAG, task: BaseOperator) -> str:
    return f"DAG {dag.dag_id!r}, task {task.task_id!r}"
