"""Every error that Clockmill raises on purpose.

ClockmillError
├── UsageError              the person asked for something that cannot be done; exit 1, no traceback
│   ├── ConfigError         a bad value or an unknown key in the configuration
│   ├── NotFound            an id that does not exist; names the nearest one that does
│   ├── Conflict            it exists already, or changed in between
│   ├── EmptyRange          a range that ends before it begins; exit 2
│   └── DatabaseError       the metadata database cannot be used as it is
│       └── SchemaMismatch  its schema is older or newer than this program
├── DagDefinitionError      a DAG file says something impossible
├── SerializationError      a value that cannot be stored
│   └── XComTooLarge
├── TaskGone                the attempt is no longer ours: stop at once
├── GatewayUnavailable      nobody could be asked; wait and try again
├── TaskDeferralError       the trigger that a task waited for failed
│   └── TaskDeferralTimeout what it waited for did not come in time
└── TaskSignal              raised by the author of a task to choose how it ends
    ├── SkipTask  ├── FailTask (of sensors: SensorTimeout)  ├── RetryTask  └── RescheduleTask
TaskDeferred                hands a task over to a trigger; no Exception, so that a broad ``except`` lets it pass
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, or None when none is near."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with a leading blank, or an empty string when nothing is near."""
    match = nearest(name, known)
    return f" Did you mean {match!r}?" if match else ""


def storable(text: str) -> str:
    """``text`` as any database can store it: no NUL, no lone surrogate."""
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


class ClockmillError(Exception):
    """The root of every error raised on purpose."""


class UsageError(ClockmillError):
    """A mistake that the person can mend; shown as one line, never with a traceback."""


class ConfigError(UsageError):
    """The configuration has an unknown key or a bad value."""


class NotFound(UsageError):
    """Nothing of that kind has that name.

    :param kind: what was looked for, as a person says it: ``DAG``, ``run``, ``task``.
    :param name: the name that was not found.
    :param known: names that exist, from which the nearest is suggested.
    :param where: what was looked through, when that is not plain.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str] = (), *, where: str = "") -> None:
        place = f" in {where}" if where else ""
        super().__init__(f"There is no {kind} {name!r}{place}.{did_you_mean(name, known)}")
        self.kind = kind
        self.name = name


class NoSuchInstance(NotFound):
    """A task has no instance of that map index.

    :param task_id: the task, which is there.
    :param map_index: the one that was looked for; -1 when none was named.
    :param count: how many instances it has; 0 when it is not mapped, or not expanded yet.
    """

    def __init__(self, task_id: str, map_index: int, count: int) -> None:
        super().__init__("map index", str(map_index))
        if not count:
            text = f"The task {task_id!r} has no instances to choose from: leave --map-index out."
        elif map_index < 0:
            text = f"The task {task_id!r} has {count:,} instances: say which with --map-index, from 0 to {count - 1}."
        else:
            text = f"The task {task_id!r} has no instance {map_index}: its map indexes go from 0 to {count - 1}."
        self.args = (text,)


class Conflict(UsageError):
    """The thing exists already, or is not as it was when the person looked."""


class EmptyRange(UsageError):
    """A range of time ends before it begins: the arguments contradict each other, whatever is there.

    :param first: its begin, as the person gave it.
    :param last: its end.
    """

    def __init__(self, first: object, last: object) -> None:
        super().__init__(f"The range from {first} to {last} ends before it begins.")


class DatabaseError(UsageError):
    """The metadata database cannot be used: wrong URL, no rights, disk full."""


class SchemaMismatch(DatabaseError):
    """The schema of the metadata database is not the one that this program knows."""


class SchemaNotReady(SchemaMismatch):
    """There is no schema yet, or an older one: ``clockmill db migrate`` mends that."""


class DagDefinitionError(ClockmillError):
    """A DAG file says something impossible; shown as an import error of that file.

    :param line: the line of the file that is to blame, from 1, where it is known.
    """

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class SerializationError(ClockmillError):
    """A value cannot be stored as JSON without losing something."""


class XComTooLarge(SerializationError):
    """An XCom is larger than ``[core] max_xcom_bytes``."""


class TaskGone(ClockmillError):
    """The attempt is over or belongs to somebody else; its process stops at once."""


class WorkerGone(ClockmillError):
    """The worker was silent for too long and was given up; what it holds belongs to others now."""


class GatewayUnavailable(ClockmillError):
    """The task gateway could not be asked; the caller waits and tries again."""


class TaskSignal(ClockmillError):
    """The root of what the author of a task raises to choose how it ends."""


class SkipTask(TaskSignal):
    """End this task as ``skipped``."""


class FailTask(TaskSignal):
    """End this task as ``failed`` without another try."""


class SensorTimeout(FailTask):
    """What a sensor waits for did not come in time; it fails without another try."""


class RetryTask(TaskSignal):
    """Use one try and run again.

    :param after: how long to wait; the task's own ``retry_delay`` when None.
    :raises UsageError: when it is no timedelta.
    """

    def __init__(self, message: str = "", *, after: timedelta | None = None) -> None:
        given: Any = after
        if given is not None and not isinstance(given, timedelta):
            raise UsageError(f"RetryTask: after must be a timedelta, not {given!r}.")
        super().__init__(message)
        self.after = after


class RescheduleTask(TaskSignal):
    """Give the slot back and begin again at ``when``, in the same try.

    :param when: an aware instant; one that has passed is now.
    :raises UsageError: when it has no time zone.
    """

    def __init__(self, when: datetime) -> None:
        given: Any = when
        if not isinstance(given, datetime) or given.tzinfo is None:
            raise UsageError(f"RescheduleTask needs a time with a time zone, not {when}.")
        super().__init__(f"look again at {when}")
        self.when = when


class TaskDeferred(BaseException):
    """Give the slot back and wait for a trigger; then go on with a method of the operator.

    :param trigger: a :class:`~clockmill.triggers.BaseTrigger`.
    :param method_name: the method that is called then, with the context, ``event=`` and ``kwargs``.
    :param kwargs: what the method is given besides.
    :param timeout: how long to wait at most; in seconds when it is a number.
    """

    def __init__(
        self,
        *,
        trigger: Any,
        method_name: str,
        kwargs: Mapping[str, Any] | None = None,
        timeout: timedelta | float | None = None,
    ) -> None:
        super().__init__(f"waits for {type(trigger).__name__}, then goes on with {method_name}()")
        self.trigger = trigger
        self.method_name = method_name
        self.kwargs = dict(kwargs or {})
        self.timeout = timedelta(seconds=timeout) if isinstance(timeout, int | float) else timeout


class TaskDeferralError(ClockmillError):
    """The trigger that a task waited for failed."""


class TaskDeferralTimeout(TaskDeferralError):
    """What a task waited for did not come within the timeout of its deferral."""
