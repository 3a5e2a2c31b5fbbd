"""Setups and teardowns: tasks that make something ready for others, and tasks that clear it away whatever happened."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Self

from clockmill.errors import DagDefinitionError
from clockmill.model.edges import Linkable, flatten, link
from clockmill.state.rules import TriggerRule

if TYPE_CHECKING:
    from clockmill.model.operator import BaseOperator


class SetupTeardown(Linkable):
    """What makes a task a setup or a teardown.

    :ivar on_failure_fail_dagrun: whether the failure of a teardown fails the run.
    """

    task_id: str
    trigger_rule: TriggerRule
    is_setup: bool = False
    is_teardown: bool = False
    on_failure_fail_dagrun: bool = False

    def as_setup(self) -> Self:
        """Make this task a setup: clearing a task that needs it clears it as well."""
        if self.is_teardown:
            raise DagDefinitionError(f"Task {self.task_id!r} is a teardown already; it cannot be a setup too.")
        self.is_setup = True
        return self

    def as_teardown(self, *, setups: Any = None, on_failure_fail_dagrun: bool | None = None) -> Self:
        """Make this task a teardown: it runs when all above is done and one of its setups succeeded.

        :param setups: the setups that it clears up after: tasks or a list of them, which become setups and come before.
        :param on_failure_fail_dagrun: whether its failure fails the run; by default the run does not care.
        """
        if self.is_setup:
            raise DagDefinitionError(f"Task {self.task_id!r} is a setup already; it cannot be a teardown too.")
        self.is_teardown = True
        self.trigger_rule = TriggerRule.ALL_DONE_SETUP_SUCCESS
        if on_failure_fail_dagrun is not None:
            self.on_failure_fail_dagrun = on_failure_fail_dagrun
        if setups is not None:
            for end in flatten(setups):
                for task in end.leaves:
                    task.as_setup()
                link(end, self)
        return self

    def check_below(self) -> None:
        """Refuse work that would run although its setup failed.

        :raises DagDefinitionError: naming the task below and its trigger rule.
        """
        (operator,) = self.leaves
        for below in operator.downstream_list if self.is_setup else ():
            if not below.is_teardown and below.trigger_rule is not TriggerRule.ALL_SUCCESS:
                raise DagDefinitionError(
                    f"Task {below.task_id!r} comes right after the setup {self.task_id!r}, so its trigger rule must be "
                    f"all_success, not {below.trigger_rule}: it cannot work on what is not set up."
                )

    def __enter__(self) -> Between:
        between = Between(self)
        between.token = _open.set((*_open.get(), between))
        return between

    def __exit__(self, *error: object) -> None:
        between = _open.get()[-1]
        assert between.token is not None
        _open.reset(between.token)
        if error[0] is None:
            between.close()


class Between:
    """The inside of ``with teardown:`` or ``with setup:``; every task made in it runs between the two.

    :raises DagDefinitionError: when the task is neither.
    """

    def __init__(self, task: SetupTeardown) -> None:
        (operator,) = task.leaves
        if not task.is_setup and not task.is_teardown:
            raise DagDefinitionError(
                f"'with' takes a setup or a teardown, and task {task.task_id!r} is neither; use @setup or @teardown, "
                "as_setup() or as_teardown()."
            )
        above, below = operator.upstream_list, operator.downstream_list
        self._setups = [operator] if task.is_setup else [one for one in above if one.is_setup]
        self._teardowns = [operator] if task.is_teardown else [one for one in below if one.is_teardown]
        self._tasks: list[BaseOperator] = []
        self.token: Token[tuple[Between, ...]] | None = None

    def add_task(self, *tasks: Any) -> None:
        """Let tasks that were made elsewhere run between the two as well."""
        for end in flatten(list(tasks)):
            self._tasks += [task for task in (*end.roots, *end.leaves) if task not in self._tasks]

    def take(self, task: BaseOperator) -> None:
        """Note a task that was just made."""
        self._tasks.append(task)

    def close(self) -> None:
        """Draw the edges: from the setups to what comes first inside, from what comes last to the teardowns."""
        inside = [task for task in self._tasks if task not in self._setups and task not in self._teardowns]
        names = {task.task_id for task in inside}
        link(self._setups, [task for task in inside if not task.upstream_task_ids & names])
        link([task for task in inside if not task.downstream_task_ids & names], self._teardowns)


_open: ContextVar[tuple[Between, ...]] = ContextVar("clockmill_between", default=())


def note_task(task: BaseOperator) -> None:
    """Tell the ``with`` statements around that a task was made."""
    for between in _open.get():
        between.take(task)
