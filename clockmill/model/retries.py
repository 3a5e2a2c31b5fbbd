"""Retry policies: what becomes of a task that failed, told from the exception."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from clockmill.errors import DagDefinitionError
from clockmill.model import checks
from clockmill.model.context import Context

Kinds = type[BaseException] | str | Sequence[type[BaseException] | str]


class RetryAction(StrEnum):
    """What a policy wants."""

    RETRY = "retry"  #: try again while tries are left, after the delay that it names
    FAIL = "fail"  #: no more tries
    DEFAULT = "default"  #: as ``retries`` and ``retry_delay`` of the task say


@dataclass(frozen=True, kw_only=True)
class RetryDecision:
    """The answer of a policy.

    :param retry_delay: until the next try; None for the task's own delay.
    :param reason: for people.
    """

    action: RetryAction = RetryAction.DEFAULT
    retry_delay: timedelta | None = None
    reason: str = ""


class RetryPolicy:
    """Decides for one exception what follows. Subclasses define :meth:`evaluate`; it runs in the task's process.

    It may refuse further tries and choose the time of the next one, but never add to ``retries``.
    """

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Context) -> RetryDecision:
        """What follows this exception.

        :param try_number: the try that failed, from 1.
        :param max_tries: the last try number allowed.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method evaluate.")


@dataclass(frozen=True)
class RetryRule:
    """What follows exceptions of some kinds.

    :param exception: a class, its full name as text (``"requests.exceptions.HTTPError"``, so that the file need not
        import it), or a list of these.
    :param retry_delay: until the next try, a timedelta or seconds; None for the task's own delay.
    :param reason: for people.
    :param match_subclasses: whether subclasses count too.
    :raises DagDefinitionError: when an argument is of the wrong kind.
    """

    exception: Kinds
    action: RetryAction = RetryAction.RETRY
    retry_delay: timedelta | float | None = None
    reason: str = ""
    match_subclasses: bool = True

    def __post_init__(self) -> None:
        kinds: Sequence[Any] = self._kinds()
        for kind in kinds:
            if not isinstance(kind, str) and not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise DagDefinitionError(f"RetryRule: exception must be an exception class or its name, not {kind!r}.")
        try:
            object.__setattr__(self, "action", RetryAction(self.action))
        except ValueError:
            names = ", ".join(RetryAction)
            raise DagDefinitionError(f"RetryRule: action must be one of {names}, not {self.action!r}.") from None
        try:
            object.__setattr__(self, "retry_delay", checks.optional(checks.duration)(self.retry_delay))
        except ValueError as error:
            raise DagDefinitionError(f"RetryRule: retry_delay {error}.") from None

    def matches(self, exception: BaseException) -> bool:
        """Whether this rule is for that exception."""
        classes = type(exception).__mro__ if self.match_subclasses else (type(exception),)
        names = {f"{cls.__module__}.{cls.__qualname__}" for cls in classes}
        names |= {cls.__qualname__ for cls in classes if cls.__module__ == "builtins"}
        return any(kind in (names if isinstance(kind, str) else classes) for kind in self._kinds())

    def decision(self) -> RetryDecision:
        """What this rule says."""
        delay: timedelta | None = self.retry_delay  # type: ignore[assignment]  # made a timedelta at the beginning
        return RetryDecision(action=self.action, retry_delay=delay, reason=self.reason)

    def _kinds(self) -> Sequence[type[BaseException] | str]:
        given: Any = self.exception
        several: Sequence[Any] = given if isinstance(given, (list, tuple)) else (given,)
        return several


class ExceptionRetryPolicy(RetryPolicy):
    """The first rule that matches the exception decides; where none does, the task's own arguments hold.

    :raises DagDefinitionError: when ``rules`` are no rules.
    """

    def __init__(self, rules: Sequence[RetryRule]) -> None:
        if not isinstance(rules, (list, tuple)) or not all(isinstance(rule, RetryRule) for rule in rules):
            raise DagDefinitionError(f"ExceptionRetryPolicy: rules must be a list of RetryRule, not {rules!r}.")
        self.rules: tuple[RetryRule, ...] = tuple(rules)

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Context) -> RetryDecision:
        for rule in self.rules:
            if rule.matches(exception):
                return rule.decision()
        return RetryDecision()
