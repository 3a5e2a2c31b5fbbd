"""How an operator hands its task over to a trigger, and how it goes on afterwards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NoReturn, Protocol

from clockmill.errors import TaskDeferralError, TaskDeferralTimeout, TaskDeferred, did_you_mean
from clockmill.model.context import Context
from clockmill.protocols import TRIGGER_TIMEOUT

#: The name of the method with which :meth:`Deferring.resume_execution` is called when no event came.
TRIGGER_FAIL = "__fail__"


class Deferrable(Protocol):
    """What a task can wait for: a trigger that says how another process makes it again."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The import path of its class, and the arguments to make it with."""
        ...


class Deferring:
    """The part of an operator that waits without holding a slot."""

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines go to the log of the try."""
        raise NotImplementedError

    def defer(
        self,
        *,
        trigger: Deferrable,
        method_name: str,
        kwargs: Mapping[str, Any] | None = None,
        timeout: timedelta | float | None = None,
    ) -> NoReturn:
        """Give the slot back and wait for ``trigger``; then go on with a method of this operator, in a new process.

        That process makes the operator anew, so nothing of this object is left there but what the arguments say.

        :param trigger: a :class:`~clockmill.triggers.base.BaseTrigger`.
        :param method_name: the method; it is called with the context, ``event=`` and ``kwargs``.
        :param kwargs: what the method is given besides; stored as an XCom would be.
        :param timeout: how long to wait at most, in seconds when it is a number; then the task fails.
        :raises TaskDeferred: always.
        """
        raise TaskDeferred(trigger=trigger, method_name=method_name, kwargs=kwargs, timeout=timeout)

    def resume_execution(self, next_method: str, next_kwargs: Mapping[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral. Called instead of ``execute``; override it to judge what went wrong.

        :param next_method: the method to call, or :data:`TRIGGER_FAIL` when no event came.
        :param next_kwargs: what it is called with besides the context; for :data:`TRIGGER_FAIL`, ``error`` and
            ``traceback`` as text.
        :raises TaskDeferralTimeout: when no event came in time.
        :raises TaskDeferralError: when the trigger failed, or the operator has no such method.
        """
        given = dict(next_kwargs or {})
        if next_method == TRIGGER_FAIL:
            if trace := given.get("traceback"):
                self.log.error("The trigger failed.\n%s", trace)
            if given["error"] == TRIGGER_TIMEOUT:
                raise TaskDeferralTimeout("what the task waited for did not come in time")
            raise TaskDeferralError(given["error"])
        method = getattr(self, next_method, None)
        if not callable(method):
            hint = did_you_mean(next_method, dir(self))
            raise TaskDeferralError(f"{type(self).__name__} has no method {next_method!r} to go on with.{hint}")
        return method(context, **given)
