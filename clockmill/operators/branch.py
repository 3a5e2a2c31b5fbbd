"""Choosing which of the tasks below run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clockmill.errors import NotFound, UsageError
from clockmill.model.context import Context
from clockmill.model.operator import BaseOperator


class BranchMixin(BaseOperator):
    """Adds to an operator the power to follow some of the tasks below and leave out the others."""

    def follow(self, context: Context, choice: Any) -> Any:
        """Let the run go on with ``choice``: an id, a list of ids, or None for none; a group stands for its roots.

        :returns: ``choice``, to be the XCom of the task.
        :raises NotFound: when the DAG has no such task or group.
        :raises UsageError: when it is something else.
        """
        context["ti"].follow(self._task_ids(choice))
        return choice

    def _task_ids(self, choice: Any) -> list[str]:
        if choice is None:
            return []
        names = list(choice) if isinstance(choice, Iterable) and not isinstance(choice, str) else [choice]
        if not all(isinstance(name, str) for name in names):
            raise UsageError(f"Branch {self.task_id!r} must return a task id, a list of them, or None, not {choice!r}.")
        return [task_id for name in names for task_id in self._expanded(name)]

    def _expanded(self, name: str) -> list[str]:
        if self.dag is None or name in self.dag.task_dict:
            return [name]
        if group := self.dag.groups.get(name):
            return [task.task_id for task in group.roots]
        raise NotFound("task or task group", name, [*self.dag.task_dict, *self.dag.groups])


class BaseBranchOperator(BranchMixin):
    """The base of branches of your own: define :meth:`choose_branch`."""

    def choose_branch(self, context: Context) -> str | Iterable[str] | None:
        """The id, or ids, of the tasks or groups directly below to go on with; None for none."""
        raise NotImplementedError(f"{type(self).__name__} has no method choose_branch.")

    def execute(self, context: Context) -> Any:
        """Follow the choice."""
        return self.follow(context, self.choose_branch(context))
