"""A sensor that asks a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clockmill.model.calls import CALL_FIELDS, call_function, take_call
from clockmill.model.context import Context
from clockmill.sensors.base import BaseSensorOperator, PokeReturnValue


class PythonSensor(BaseSensorOperator):
    """Waits until a function returns something true, or a :class:`~clockmill.sensors.base.PokeReturnValue` that is.

    The function is given its arguments as that of a ``PythonOperator`` is.

    :param python_callable: the function.
    :param op_args: given by position; templated.
    :param op_kwargs: given by name; templated.
    :param templates_dict: templated, then handed over in the context as ``templates_dict``.
    """

    template_fields: Sequence[str] = CALL_FIELDS

    python_callable: Callable[..., Any]
    op_args: Sequence[Any]
    op_kwargs: Mapping[str, Any]
    templates_dict: Mapping[str, Any] | None

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
        take_call(self, python_callable, op_args, op_kwargs, templates_dict)

    def poke(self, context: Context) -> PokeReturnValue:
        """What the function says."""
        said = call_function(self, context)
        return said if isinstance(said, PokeReturnValue) else PokeReturnValue(bool(said))
