"""Call what an author wants called: a function, a notifier, or a function with arguments of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clockmill.model.context import await_result, call_with_context, parameters_of
from clockmill.model.dag import DAG
from clockmill.model.deadlines import SyncCallback
from clockmill.model.notifier import BaseNotifier
from clockmill.runtime.context import TaskContext
from clockmill.templating import rendered


def call(callback: Any, context: TaskContext, dag: DAG, folder: Path) -> None:
    """Call ``callback``; a coroutine is waited for, the template fields of a notifier are filled in before.

    :param folder: the folder of the DAG file.
    """
    if isinstance(callback, SyncCallback):
        _call_with_arguments(callback, context, dag, folder)
    elif isinstance(callback, BaseNotifier):
        _notify(callback, context, dag, folder)
    else:
        result = callback(context)
        if hasattr(result, "__await__"):
            await_result(result)


def _call_with_arguments(callback: SyncCallback, context: TaskContext, dag: DAG, folder: Path) -> None:
    function: Callable[..., Any] = callback.resolve()
    if isinstance(function, type) and issubclass(function, BaseNotifier):
        _notify(function(**callback.kwargs), context, dag, folder)
        return
    whole = {"context": context} if "context" in parameters_of(function).by_name else {}
    call_with_context(function, (), {**whole, **callback.kwargs}, context)


@dataclass
class _Holder:
    """What the templates of a notifier are filled in for, in the place of a task."""

    dag: DAG
    task_id: str
    notifier: BaseNotifier
    template_fields = ("notifier",)

    @property
    def template_ext(self) -> tuple[str, ...]:
        return tuple(self.notifier.template_ext)


def _notify(notifier: BaseNotifier, context: TaskContext, dag: DAG, folder: Path) -> None:
    task_id = context["task"].task_id if "task" in context else type(notifier).__name__
    held = _Holder(dag=dag, task_id=task_id, notifier=notifier)
    filled: BaseNotifier = rendered(held, context, folder=folder, explain=context.explain).notifier
    filled(context)
