"""Clockmill: a scheduler for batch work written as Python DAG files.

This module gives the names that a DAG file needs. Each is imported when it is first used, so that importing
Clockmill costs nothing and has no side effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clockmill.errors import FailTask, RescheduleTask, RetryTask, SkipTask
    from clockmill.model.context import get_current_context
    from clockmill.model.dag import DAG
    from clockmill.model.dagdecorator import dag
    from clockmill.model.deadlines import AsyncCallback, DeadlineAlert, DeadlineReference, SyncCallback
    from clockmill.model.edges import Label, chain, chain_linear, cross_downstream
    from clockmill.model.group import TaskGroup, task_group
    from clockmill.model.notifier import BaseNotifier
    from clockmill.model.operator import BaseOperator
    from clockmill.model.param import Param
    from clockmill.model.retries import ExceptionRetryPolicy, RetryAction, RetryDecision, RetryPolicy, RetryRule
    from clockmill.model.weights import PriorityWeightStrategy
    from clockmill.model.xcom_arg import XComArg
    from clockmill.operators.decorators import setup, task, teardown
    from clockmill.sensors.base import BaseSensorOperator, PokeReturnValue
    from clockmill.state.rules import TriggerRule

__version__ = "0.1.0"

__all__ = [
    "DAG",
    "AsyncCallback",
    "BaseNotifier",
    "BaseOperator",
    "BaseSensorOperator",
    "DeadlineAlert",
    "DeadlineReference",
    "ExceptionRetryPolicy",
    "FailTask",
    "Label",
    "Param",
    "PokeReturnValue",
    "PriorityWeightStrategy",
    "RescheduleTask",
    "RetryAction",
    "RetryDecision",
    "RetryPolicy",
    "RetryRule",
    "RetryTask",
    "SkipTask",
    "SyncCallback",
    "TaskGroup",
    "TriggerRule",
    "XComArg",
    "__version__",
    "chain",
    "chain_linear",
    "cross_downstream",
    "dag",
    "get_current_context",
    "setup",
    "task",
    "task_group",
    "teardown",
]

_HOME_OF = {
    "DAG": "model.dag",
    "AsyncCallback": "model.deadlines",
    "BaseNotifier": "model.notifier",
    "BaseOperator": "model.operator",
    "BaseSensorOperator": "sensors.base",
    "DeadlineAlert": "model.deadlines",
    "DeadlineReference": "model.deadlines",
    "ExceptionRetryPolicy": "model.retries",
    "FailTask": "errors",
    "Label": "model.edges",
    "Param": "model.param",
    "PriorityWeightStrategy": "model.weights",
    "PokeReturnValue": "sensors.base",
    "RetryAction": "model.retries",
    "RetryDecision": "model.retries",
    "RetryPolicy": "model.retries",
    "RetryRule": "model.retries",
    "RescheduleTask": "errors",
    "RetryTask": "errors",
    "SkipTask": "errors",
    "SyncCallback": "model.deadlines",
    "TaskGroup": "model.group",
    "TriggerRule": "state.rules",
    "XComArg": "model.xcom_arg",
    "chain": "model.edges",
    "chain_linear": "model.edges",
    "cross_downstream": "model.edges",
    "dag": "model.dagdecorator",
    "get_current_context": "model.context",
    "setup": "operators.decorators",
    "task": "operators.decorators",
    "task_group": "model.group",
    "teardown": "operators.decorators",
}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
