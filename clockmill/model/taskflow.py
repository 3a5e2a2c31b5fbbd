"""TaskFlow: a decorated function whose calls make tasks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_origin, get_type_hints

from clockmill.errors import DagDefinitionError, did_you_mean
from clockmill.model.context import CONTEXT_KEYS, inside_a_task, parameters_of
from clockmill.model.operator import BaseOperator
from clockmill.model.scope import current_scope
from clockmill.model.xcom_arg import XComArg

_DICT_AS_TEXT = re.compile(r"(\w+\.)*(dict|Dict|Mapping|MutableMapping)\b(?!.*\|)")


class TaskFactory:
    """A function under ``@task``: each call inside a DAG makes a task and gives its output.

    :param function: what the task runs.
    :param operator: the class of the task; it takes ``python_callable``, ``op_args`` and ``op_kwargs``.
    :param arguments: of the operator, from the decorator and from :meth:`override`.
    """

    def __init__(
        self, function: Callable[..., Any], operator: Callable[..., BaseOperator], arguments: Mapping[str, Any]
    ) -> None:
        if not callable(function):
            raise DagDefinitionError(f"@task decorates a function, not {function!r}.")
        self.function = function
        self._operator = operator
        self._arguments = dict(arguments)
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def override(self, **arguments: Any) -> TaskFactory:
        """The same function under other arguments of the operator."""
        return TaskFactory(self.function, self._operator, {**self._arguments, **arguments})

    def __call__(self, *args: Any, **kwargs: Any) -> XComArg:
        """Make a task that calls the function with these arguments; outputs of other tasks among them draw edges.

        :raises DagDefinitionError: when the arguments do not fit the function, or a task is running.
        """
        if inside_a_task():
            raise DagDefinitionError(
                f"{self.__name__}() makes a task and cannot be called by a running one; "
                f"call the plain function with {self.__name__}.function()."
            )
        self._check_fit(args, kwargs)
        arguments = dict(self._arguments)
        arguments["task_id"] = self._free_label(arguments)
        arguments.setdefault("doc_md", self.__doc__)
        if "multiple_outputs" not in arguments:
            arguments["multiple_outputs"] = _returns_dict(self.function)
        operator = self._operator(python_callable=self.function, op_args=args, op_kwargs=kwargs, **arguments)
        return operator.output

    def _free_label(self, arguments: Mapping[str, Any]) -> Any:
        """The id of the new task inside its group, with a suffix when the function was called before."""
        label = arguments.get("task_id", self.__name__)
        scope = current_scope()
        group = arguments.get("task_group") or (scope.group if scope else None)
        dag = arguments.get("dag") or (group.dag if group else None) or (scope.dag if scope else None)
        if dag is None or not isinstance(label, str):
            return label
        full_id = group.child_id(label) if group is not None and group.dag is dag else label
        return label + dag.free_id(full_id).removeprefix(full_id)

    def _check_fit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        takes = parameters_of(self.function)
        if len(args) > len(takes.positional) and not takes.takes_more:
            raise DagDefinitionError(
                f"{self.__name__}() takes {len(takes.positional)} arguments by position, not {len(args)}."
            )
        filled = {*takes.positional[: len(args)], *kwargs}
        for name in kwargs:
            if name in takes.positional[: len(args)]:
                raise DagDefinitionError(f"{self.__name__}() is given the argument {name!r} twice.")
            if name not in takes.by_name and not takes.takes_all:
                raise DagDefinitionError(
                    f"{self.__name__}() has no argument {name!r}.{did_you_mean(name, takes.by_name)}"
                )
        for name in takes.required:
            if name not in filled and name not in CONTEXT_KEYS:
                raise DagDefinitionError(f"{self.__name__}() is called without its argument {name!r}.")

    def __repr__(self) -> str:
        return f"<@task {self.__name__}>"


def _returns_dict(function: Callable[..., Any]) -> bool:
    """Whether the annotation of what ``function`` returns is a dictionary, whose values are then outputs."""
    annotation = getattr(function, "__annotations__", {}).get("return")
    if annotation is None:
        return False
    try:
        annotation = get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError, SyntaxError):  # a name imported for type checkers alone
        return isinstance(annotation, str) and bool(_DICT_AS_TEXT.match(annotation))
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, Mapping)
