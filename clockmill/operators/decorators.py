"""``@task`` and its kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, overload

from clockmill.errors import DagDefinitionError, did_you_mean
from clockmill.model.group import GroupFactory
from clockmill.model.operator import BaseOperator, OperatorType
from clockmill.model.taskflow import TaskFactory
from clockmill.operators.python import BranchPythonOperator, PythonOperator, ShortCircuitOperator

Decorator = Callable[[Callable[..., Any]], TaskFactory]


class TaskDecorators:
    """``@task``, which is ``@task.python``, and the other kinds: ``.bash``, ``.branch``, ``.sensor``,
    ``.short_circuit``.

    Each is used plain or with arguments of the operator: ``@task``, ``@task(retries=3)``.
    """

    @overload
    def __call__(self, function: Callable[..., Any], /) -> TaskFactory: ...

    @overload
    def __call__(self, /, **arguments: Any) -> Decorator: ...

    def __call__(self, function: Callable[..., Any] | None = None, /, **arguments: Any) -> TaskFactory | Decorator:
        """A task that calls the function."""
        return _decorator(PythonOperator, function, arguments)

    python = __call__

    def bash(self, function: Callable[..., Any] | None = None, /, **arguments: Any) -> Any:
        """A task that runs the command that the function returns."""
        from clockmill.operators.bash import BashFunctionOperator

        return _decorator(BashFunctionOperator, function, arguments)

    def branch(self, function: Callable[..., Any] | None = None, /, **arguments: Any) -> Any:
        """A task that goes on with the tasks whose ids the function returns."""
        return _decorator(BranchPythonOperator, function, arguments)

    def sensor(self, function: Callable[..., Any] | None = None, /, **arguments: Any) -> Any:
        """A task that waits until the function returns something true."""
        from clockmill.sensors.python import PythonSensor

        return _decorator(PythonSensor, function, arguments)

    def short_circuit(self, function: Callable[..., Any] | None = None, /, **arguments: Any) -> Any:
        """A task that goes on when the function returns something true."""
        return _decorator(ShortCircuitOperator, function, arguments)

    def __getattr__(self, name: str) -> NoReturn:
        kinds = [kind for kind in vars(type(self)) if not kind.startswith("_")]
        raise AttributeError(f"There is no decorator @task.{name}.{did_you_mean(name, kinds)}")


def _decorator(
    operator: OperatorType, function: Callable[..., Any] | None, arguments: dict[str, Any]
) -> TaskFactory | Decorator:
    if function is not None:
        return TaskFactory(function, operator, arguments)
    return lambda decorated: TaskFactory(decorated, operator, arguments)


task = TaskDecorators()


def setup(function: Any) -> TaskFactory:
    """Make a function a setup: its tasks are cleared along with those that need them. Goes on top of ``@task`` too.

    :raises DagDefinitionError: on a task group.
    """
    return _factory("@setup", function).finished_by(BaseOperator.as_setup)


def teardown(function: Any = None, /, *, on_failure_fail_dagrun: bool = False) -> Any:
    """Make a function a teardown: its tasks run when all above is done and a setup of theirs succeeded.

    :param on_failure_fail_dagrun: whether its failure fails the run.
    :raises DagDefinitionError: on a task group, or with a trigger rule.
    """

    def decorate(decorated: Any) -> TaskFactory:
        factory = _factory("@teardown", decorated)
        if factory.given("trigger_rule"):
            raise DagDefinitionError(f"@teardown {factory.__name__!r} has a trigger rule of its own; leave it out.")
        return factory.finished_by(lambda made: made.as_teardown(on_failure_fail_dagrun=on_failure_fail_dagrun))

    return decorate if function is None else decorate(function)


def _factory(name: str, decorated: Any) -> TaskFactory:
    if isinstance(decorated, GroupFactory):
        raise DagDefinitionError(f"{name} decorates a task, not the task group {decorated.__name__!r}.")
    return decorated if isinstance(decorated, TaskFactory) else TaskFactory(decorated, PythonOperator, {})
