"""Operators that call a Python function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from clockmill.model.arguments import OperatorArguments
from clockmill.model.calls import CALL_FIELDS, call_function, take_call
from clockmill.model.context import Context
from clockmill.model.operator import BaseOperator
from clockmill.operators.branch import BranchMixin


class PythonOperator(BaseOperator):
    """Call a function; what it returns is the XCom of the task. The result of a coroutine function is waited for.

    The function is given ``op_args``, ``op_kwargs``, and of the context what its parameters name: ``def f(ds, ti)``.

    :param python_callable: the function.
    :param op_args: given by position; templated.
    :param op_kwargs: given by name; templated.
    :param templates_dict: templated, then handed over in the context as ``templates_dict``.
    :param templates_exts: endings of template files, for the values of ``templates_dict``.
    :param show_return_value_in_logs: whether the log says what was returned.
    """

    template_fields: Sequence[str] = CALL_FIELDS
    ui_color = "#ffefeb"

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
        templates_exts: Sequence[str] | None = None,
        show_return_value_in_logs: bool = True,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(**kwargs)
        take_call(self, python_callable, op_args, op_kwargs, templates_dict)
        if templates_exts:
            self.template_ext = tuple(templates_exts)
        self.show_return_value_in_logs = show_return_value_in_logs

    def execute(self, context: Context) -> Any:
        """Call the function."""
        result = call_function(self, context)
        if self.show_return_value_in_logs:
            self.log.info("Returned value: %s", _shortened(result))
        return result


class BranchPythonOperator(BranchMixin, PythonOperator):
    """Call a function that says which way to go: the id, or list of ids, of tasks or task groups directly below.

    The other tasks directly below are skipped. None follows no way at all.
    """

    def execute(self, context: Context) -> Any:
        """Call the function and follow what it names."""
        return self.follow(context, super().execute(context))


class ShortCircuitOperator(PythonOperator):
    """Call a function and go on only when what it returns is true.

    :param ignore_downstream_trigger_rules: when stopping, whether every task below is skipped (the default), or only
        those directly below, so that the trigger rules of the others decide.
    """

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        ignore_downstream_trigger_rules: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(python_callable=python_callable, **kwargs)
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules

    def execute(self, context: Context) -> Any:
        """Call the function, and leave out what is below when it returns something false."""
        condition = super().execute(context)
        if not condition:
            context["ti"].leave_out("downstream" if self.ignore_downstream_trigger_rules else "direct")
        return condition


def _shortened(value: Any, limit: int = 1000) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[:limit]}... ({len(shown)} characters)"
