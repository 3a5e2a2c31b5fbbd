"""``@task`` and its kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, overload

from clockmill.errors import did_you_mean
from clockmill.model.operator import BaseOperator
from clockmill.model.taskflow import TaskFactory
from clockmill.operators.python import BranchPythonOperator, PythonOperator, ShortCircuitOperator

Decorator = Callable[[Callable[..., Any]], TaskFactory]


class TaskDecorators:
    """``@task``, which is ``@task.python``, and the other kinds: ``.bash``, ``.branch``, ``.short_circuit``.

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

    def short_circuit(self, function: Callable[..., Any] | None = None, /, **arguments: Any) -> Any:
        """A task that goes on when the function returns something true."""
        return _decorator(ShortCircuitOperator, function, arguments)

    def __getattr__(self, name: str) -> NoReturn:
        kinds = [kind for kind in vars(type(self)) if not kind.startswith("_")]
        raise AttributeError(f"There is no decorator @task.{name}.{did_you_mean(name, kinds)}")


def _decorator(
    operator: Callable[..., BaseOperator], function: Callable[..., Any] | None, arguments: dict[str, Any]
) -> TaskFactory | Decorator:
    if function is not None:
        return TaskFactory(function, operator, arguments)
    return lambda decorated: TaskFactory(decorated, operator, arguments)


task = TaskDecorators()
