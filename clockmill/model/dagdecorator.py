"""``@dag``: a function that fills a DAG each time that it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack, overload

from clockmill.errors import DagDefinitionError
from clockmill.model.arguments import DagArguments
from clockmill.model.dag import DAG
from clockmill.model.param import NO_DEFAULT


class DagFactory:
    """A function under ``@dag``; its parameters become parameters of the DAG."""

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self.function = function
        self._arguments = dict(arguments)
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> DAG:
        """Make the DAG.

        :param args: defaults of the parameters, by the names that the function gives them.
        :raises DagDefinitionError: when they do not fit the function.
        """
        from inspect import signature

        parameters = signature(self.function).parameters
        try:
            given = signature(self.function).bind_partial(*args, **kwargs).arguments
        except TypeError as error:
            raise DagDefinitionError(f"@dag {self.__name__}: {error}.") from None
        arguments = {"dag_id": self.__name__, "doc_md": self.__doc__, **self._arguments}
        with DAG(**arguments) as dag:
            values = {
                name: dag.param(name, given.get(name, NO_DEFAULT if p.default is p.empty else p.default))
                for name, p in parameters.items()
            }
            self.function(**values)
        return dag


@overload
def dag(function: Callable[..., Any], /) -> DagFactory: ...


@overload
def dag(dag_id: str = ..., /, **arguments: Unpack[DagArguments]) -> Callable[[Callable[..., Any]], DagFactory]: ...


def dag(first: Any = None, /, **arguments: Any) -> Any:
    """Make a function a DAG: ``@dag``, ``@dag(schedule="@daily")`` or ``@dag("sales", ...)``, then call it once.

    The name of the function is the id, its docstring the documentation, unless the arguments say otherwise.
    """
    if callable(first):
        return DagFactory(first, {})
    if first is not None:
        arguments["dag_id"] = first
    return lambda function: DagFactory(function, arguments)
