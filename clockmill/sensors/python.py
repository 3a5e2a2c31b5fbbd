"""A sensor that asks a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clockmill.errors import DagDefinitionError
from clockmill.model.context import Context, call_with_context
from clockmill.sensors.base import BaseSensorOperator, PokeReturnValue


class PythonSensor(BaseSensorOperator):
    """Waits until a function returns something true, or a :class:`~clockmill.sensors.base.PokeReturnValue` that is.

    The function is given its arguments as that of a ``PythonOperator`` is.

    :param python_callable: the function.
    :param op_args: given by position; templated.
    :param op_kwargs: given by name; templated.
    :param templates_dict: templated, then handed over in the context as ``templates_dict``.
    """

    template_fields: Sequence[str] = ("templates_dict", "op_args", "op_kwargs")

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        templates_dict: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(python_callable):
            raise DagDefinitionError(
                f"{type(self).__name__} {self.task_id!r}: python_callable must be a function, not {python_callable!r}."
            )
        self.python_callable: Callable[..., Any] = python_callable
        self.op_args: Sequence[Any] = tuple(op_args or ())
        self.op_kwargs: Mapping[str, Any] = dict(op_kwargs or {})
        self.templates_dict = templates_dict

    def poke(self, context: Context) -> PokeReturnValue:
        """What the function says."""
        given = {**context, "templates_dict": self.templates_dict} if self.templates_dict else context
        said = call_with_context(self.python_callable, self.op_args, self.op_kwargs, given)
        return said if isinstance(said, PokeReturnValue) else PokeReturnValue(bool(said))
