"""What operators and sensors have in common that call a function of their author's: its arguments, and the call.

Each of them names the arguments in its own signature, where authors look for them, and keeps them under these names.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, cast

from clockmill.errors import DagDefinitionError
from clockmill.model.context import Context, call_with_context

#: The arguments that are templated.
CALL_FIELDS: Sequence[str] = ("templates_dict", "op_args", "op_kwargs")


class FunctionTask(Protocol):
    """A task that calls a function.

    :param op_args: given by position.
    :param op_kwargs: given by name.
    :param templates_dict: handed over in the context, under that name.
    """

    task_id: str
    python_callable: Callable[..., Any]
    op_args: Sequence[Any]
    op_kwargs: Mapping[str, Any]
    templates_dict: Mapping[str, Any] | None


def take_call(
    task: FunctionTask,
    python_callable: Any,
    op_args: Sequence[Any] | None,
    op_kwargs: Mapping[str, Any] | None,
    templates_dict: Mapping[str, Any] | None = None,
) -> None:
    """Keep what a task was given to call.

    :raises DagDefinitionError: when ``python_callable`` cannot be called.
    """
    if not callable(python_callable):
        owner = f"{type(task).__name__} {task.task_id!r}"
        raise DagDefinitionError(f"{owner}: python_callable must be a function, not {python_callable!r}.")
    task.python_callable = python_callable
    task.op_args = tuple(op_args or ())
    task.op_kwargs = dict(op_kwargs or {})
    task.templates_dict = templates_dict


def call_function(task: FunctionTask, context: Context) -> Any:
    """What the function of a task returns; of a coroutine, its result."""
    if task.templates_dict:
        context = ChainMap({"templates_dict": task.templates_dict}, cast("MutableMapping[str, Any]", context))
    return call_with_context(task.python_callable, task.op_args, task.op_kwargs, context)
