"""Deadlines: by when a run is to be done, and whom to call when it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib import import_module
from typing import Any, ClassVar

from clockmill.errors import DagDefinitionError
from clockmill.model import checks


class ReferenceKind(StrEnum):
    """What a deadline counts from."""

    DAGRUN_LOGICAL_DATE = "dagrun_logical_date"
    DAGRUN_QUEUED_AT = "dagrun_queued_at"
    FIXED_DATETIME = "fixed_datetime"
    AVERAGE_RUNTIME = "average_runtime"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An instant that a deadline counts from; made by :class:`DeadlineReference`.

    :param at: the instant itself, where it is fixed.
    :param max_runs: how many finished runs the average is taken of, at most.
    :param min_runs: fewer give no deadline.
    """

    kind: ReferenceKind
    at: datetime | None = None
    max_runs: int = 10
    min_runs: int = 10

    def to_dict(self) -> dict[str, Any]:
        """What the document of the DAG holds."""
        stored: dict[str, Any] = {"kind": str(self.kind)}
        if self.at is not None:
            stored["at"] = self.at.astimezone(UTC).isoformat()
        if self.kind is ReferenceKind.AVERAGE_RUNTIME:
            stored |= {"max_runs": self.max_runs, "min_runs": self.min_runs}
        return stored


class DeadlineReference:
    """What a deadline counts from."""

    #: The logical date of the run; a run without one has no such deadline.
    DAGRUN_LOGICAL_DATE: ClassVar = Reference(kind=ReferenceKind.DAGRUN_LOGICAL_DATE)
    #: The moment when the run was made.
    DAGRUN_QUEUED_AT: ClassVar = Reference(kind=ReferenceKind.DAGRUN_QUEUED_AT)

    @staticmethod
    def FIXED_DATETIME(at: Any) -> Reference:
        """One instant, the same for all runs.

        :raises DagDefinitionError: when it is none, or has no time zone.
        """
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise DagDefinitionError(f"FIXED_DATETIME takes a datetime with a time zone, not {at!r}.")
        return Reference(kind=ReferenceKind.FIXED_DATETIME, at=at)

    @staticmethod
    def AVERAGE_RUNTIME(max_runs: int = 10, min_runs: int | None = None) -> Reference:
        """The moment when the run was made and the mean time that the last runs took, from made to done.

        :param max_runs: how many finished runs count, at most.
        :param min_runs: with fewer there is no deadline; ``max_runs`` when None.
        :raises DagDefinitionError: when a number is below 1, or the least above the most.
        """
        least: Any = max_runs if min_runs is None else min_runs
        counts: tuple[Any, ...] = (max_runs, least)
        for number in counts:
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise DagDefinitionError(f"AVERAGE_RUNTIME takes numbers of at least 1, not {number!r}.")
        if least > max_runs:
            raise DagDefinitionError(f"AVERAGE_RUNTIME: min_runs={least} is more than max_runs={max_runs}.")
        return Reference(kind=ReferenceKind.AVERAGE_RUNTIME, max_runs=max_runs, min_runs=least)


@dataclass(frozen=True)
class SyncCallback:
    """A function to call, with arguments.

    :param callback: the function, a notifier class, or the full name of either: ``"alerts.tell_owner"``.
    :param kwargs: its arguments; what its signature names beside them it is given of the context.
    :raises DagDefinitionError: when it is neither.
    """

    callback: Callable[..., Any] | str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        is_path = isinstance(self.callback, str) and "." in self.callback.strip(".")
        if not is_path and (isinstance(self.callback, str) or not callable(self.callback)):
            raise DagDefinitionError(
                f"{type(self).__name__} takes a function or its full name 'module.function', not {self.callback!r}."
            )
        object.__setattr__(self, "kwargs", dict(self.kwargs or {}))

    def resolve(self) -> Callable[..., Any]:
        """The function itself, imported when only its name is known.

        :raises ImportError: when there is no such module.
        :raises AttributeError: when the module has no such name.
        """
        if not isinstance(self.callback, str):
            return self.callback
        module, _, name = self.callback.rpartition(".")
        found: Callable[..., Any] = getattr(import_module(module), name)
        return found


class AsyncCallback(SyncCallback):
    """As :class:`SyncCallback`, for a coroutine function; it is waited for in a task process like any other."""


@dataclass(frozen=True, kw_only=True)
class DeadlineAlert:
    """A run that has not succeeded by ``reference + interval`` has missed its deadline.

    :param interval: a timedelta or seconds; may be negative with a reference in the future.
    :param callback: called once when the deadline is missed: a function of the context, a notifier, a
        :class:`SyncCallback` or :class:`AsyncCallback`, or a list of them.
    :param name: for people; its position in the list of deadlines when None.
    :raises DagDefinitionError: when an argument is of the wrong kind.
    """

    reference: Reference
    interval: timedelta
    callback: Any = None
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.reference, Reference):
            raise DagDefinitionError(f"DeadlineAlert: reference must be a DeadlineReference, not {self.reference!r}.")
        interval: Any = self.interval
        most = checks.LONGEST.total_seconds()
        if isinstance(interval, (int, float)) and not isinstance(interval, bool) and abs(interval) <= most:
            interval = timedelta(seconds=interval)
        if not isinstance(interval, timedelta) or abs(interval.total_seconds()) > most:
            told = f"a timedelta of at most {checks.LONGEST.days} days"
            raise DagDefinitionError(f"DeadlineAlert: interval must be {told}, not {interval!r}.")
        object.__setattr__(self, "interval", interval)
        try:
            object.__setattr__(self, "callback", checks.optional(_calls)(self.callback))
            object.__setattr__(self, "name", checks.optional(checks.text)(self.name))
        except ValueError as error:
            raise DagDefinitionError(f"DeadlineAlert: an argument {error}.") from None


def _calls(value: Any) -> tuple[Any, ...]:
    several = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for one in several:
        if not isinstance(one, SyncCallback) and not callable(one):
            raise ValueError(f"must be a function, a notifier or a SyncCallback, not {one!r}")
    return several


def deadline_alerts(value: Any) -> tuple[DeadlineAlert, ...]:
    """One alert or a list of them, as the argument ``deadline`` of a DAG takes it.

    :raises ValueError: when something else is among them.
    """
    several = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for one in several:
        if not isinstance(one, DeadlineAlert):
            raise ValueError(f"must be a DeadlineAlert or a list of them, not {one!r}")
    return several
