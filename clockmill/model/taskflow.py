"""TaskFlow: a decorated function whose calls make tasks."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints

from clockmill.errors import DagDefinitionError, did_you_mean
from clockmill.model.context import CONTEXT_KEYS, inside_a_task, parameters_of
from clockmill.model.mapping import Over, Partial
from clockmill.model.operator import BaseOperator, OperatorType
from clockmill.model.partial import mapped_task
from clockmill.model.scope import current_scope
from clockmill.model.xcom_arg import XComArg

_DICT_AS_TEXT = re.compile(r"(\w+\.)*(dict|Dict|Mapping|MutableMapping)\b(?!.*\|)")


class TaskFactory:
    """A function under ``@task``: each call inside a DAG makes a task and gives its output.

    :param function: what the task runs.
    :param operator: the class of the task; it takes ``python_callable``, ``op_args`` and ``op_kwargs``.
    :param arguments: of the operator, from the decorator and from :meth:`override`.
    :param finish: what is done to each task once it is made, such as marking it as a setup.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        operator: OperatorType,
        arguments: Mapping[str, Any],
        finish: Callable[[BaseOperator], Any] | None = None,
    ) -> None:
        if not callable(function):
            raise DagDefinitionError(f"@task decorates a function, not {function!r}.")
        self.function = function
        self._operator = operator
        self._arguments = dict(arguments)
        self._finish = finish
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def override(self, **arguments: Any) -> TaskFactory:
        """The same function under other arguments of the operator."""
        return TaskFactory(self.function, self._operator, {**self._arguments, **arguments}, self._finish)

    def finished_by(self, finish: Callable[[BaseOperator], Any]) -> TaskFactory:
        """The same function, with something done to each task that it makes."""
        return TaskFactory(self.function, self._operator, self._arguments, finish)

    def given(self, name: str) -> bool:
        """Whether the operator is given an argument of that name."""
        return name in self._arguments

    def __call__(self, *args: Any, **kwargs: Any) -> XComArg:
        """Make a task that calls the function with these arguments; outputs of other tasks among them draw edges.

        :raises DagDefinitionError: when the arguments do not fit the function, or a task is running.
        """
        self._check_fit(args, kwargs)
        arguments = {**self._operator_arguments(), "op_args": args, "op_kwargs": kwargs}
        return self._output(self._operator(**arguments))

    def partial(self, **kwargs: Any) -> TaskPartial:
        """The arguments that all instances of a mapped task have in common: ``f.partial(a=1).expand(b=[2, 3])``.

        :raises DagDefinitionError: when the function has no such argument.
        """
        self.refuse_unknown(kwargs)
        return TaskPartial(f"@task {self.__name__!r}", kwargs, self)

    def expand(self, **mapped: Any) -> XComArg:
        """See :meth:`TaskPartial.expand`."""
        return self.partial().expand(**mapped)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> XComArg:
        """See :meth:`TaskPartial.expand_kwargs`."""
        return self.partial().expand_kwargs(kwargs, strict=strict)

    def make_mapped(self, fixed: Mapping[str, Any], over: Over, *, strict: bool) -> XComArg:
        """Make a mapped task; ``fixed`` are the arguments that all instances have in common."""
        arguments = {**self._operator_arguments(), "op_kwargs": dict(fixed)}
        return self._output(mapped_task(self._operator, arguments, over, into="op_kwargs", strict=strict))

    def _output(self, operator: BaseOperator) -> XComArg:
        if self._finish is not None:
            self._finish(operator)
        return operator.output

    def _operator_arguments(self) -> dict[str, Any]:
        if inside_a_task():
            raise DagDefinitionError(
                f"{self.__name__}() makes a task and cannot be called by a running one; "
                f"call the plain function with {self.__name__}.function()."
            )
        arguments = dict(self._arguments)
        arguments["task_id"] = self._free_label(arguments)
        arguments.setdefault("doc_md", self.__doc__)
        if "multiple_outputs" not in arguments:
            arguments["multiple_outputs"] = _returns_dict(self.function)
        return {"python_callable": self.function, **arguments}

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
        for name in kwargs:
            if name in takes.positional[: len(args)]:
                raise DagDefinitionError(f"{self.__name__}() is given the argument {name!r} twice.")
        self.refuse_unknown(kwargs)
        self.refuse_missing({*takes.positional[: len(args)], *kwargs}, "called")

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Refuse arguments that the function does not have.

        :raises DagDefinitionError: naming the first of them and the nearest one that exists.
        """
        takes = parameters_of(self.function)
        for name in names:
            if name not in takes.by_name and not takes.takes_all:
                raise DagDefinitionError(
                    f"{self.__name__}() has no argument {name!r}.{did_you_mean(name, takes.by_name)}"
                )

    def refuse_missing(self, filled: Container[str], what: str) -> None:
        """Refuse to leave out arguments that the function needs and no context fills.

        :param what: what is done without them: ``called``.
        :raises DagDefinitionError: naming the first of them.
        """
        for name in parameters_of(self.function).required:
            if name not in filled and name not in CONTEXT_KEYS:
                raise DagDefinitionError(f"{self.__name__}() is {what} without its argument {name!r}.")

    def __repr__(self) -> str:
        return f"<@task {self.__name__}>"


@dataclass
class TaskPartial(Partial):
    """The arguments of a function that all instances of a mapped task have in common."""

    factory: TaskFactory

    def expand(self, **mapped: Any) -> XComArg:
        """Make a task with an instance for every combination of the elements of these arguments.

        :raises DagDefinitionError: when an argument is unknown, missing, given twice, or cannot be mapped over.
        """
        self.factory.refuse_unknown(mapped)
        over = self.product(mapped)
        self.factory.refuse_missing({*self.fixed, *mapped}, "expanded")
        return self.factory.make_mapped(self.fixed, over, strict=True)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> XComArg:
        """Make a task with an instance for every dictionary of arguments.

        :param kwargs: a list of dictionaries, or the output of a task that returns one.
        :param strict: whether a dictionary may not name an argument that ``partial()`` was given.
        :raises DagDefinitionError: as :meth:`expand`.
        """
        over = self.rows(kwargs, strict=strict)
        for row in over.literal_rows():
            self.factory.refuse_unknown(row)
            self.factory.refuse_missing({*self.fixed, *row}, "expanded")
        return self.factory.make_mapped(self.fixed, over, strict=strict)


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
