"""A task that gives its slot back and goes on later: what it leaves behind, and how it is taken up again."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from clockmill.clock import iso
from clockmill.errors import DagDefinitionError, RescheduleTask, TaskDeferralError, TaskDeferred
from clockmill.model.context import Context
from clockmill.model.deferring import TRIGGER_FAIL
from clockmill.model.operator import BaseOperator
from clockmill.triggers.classpath import find_class
from clockmill.xcom import check_size, decode, encode


def look_again_at(error: RescheduleTask) -> str:
    """When a rescheduled task begins again, as it is reported."""
    return iso(error.when.astimezone(UTC))


def deferral(error: TaskDeferred, limit: int) -> dict[str, Any]:
    """What is reported of a task that waits for a trigger.

    :param limit: the largest size of its arguments, in bytes.
    :raises DagDefinitionError: when no other process could make the trigger again.
    :raises SerializationError: when an argument cannot be stored.
    :raises XComTooLarge: when the arguments are larger than ``limit``.
    """
    class_path, kwargs = _serialized(error.trigger)
    texts = {"kwargs": encode(kwargs), "method_kwargs": encode(error.kwargs)}
    for name, text in texts.items():
        check_size(f"deferral {name}", text, limit)
    seconds = None if error.timeout is None else error.timeout.total_seconds()
    return {**texts, "class_path": class_path, "method": error.method_name, "timeout": seconds}


def _serialized(trigger: Any) -> tuple[str, dict[str, Any]]:
    name = type(trigger).__name__
    if not callable(getattr(trigger, "serialize", None)):
        raise DagDefinitionError(f"A task can only defer to a trigger, an object with serialize(), not to a {name}.")
    class_path, kwargs = trigger.serialize()
    try:
        find_class(class_path)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise DagDefinitionError(
            f"The trigger {name} says that its class is {class_path!r}, which cannot be had: {error}."
        ) from error
    return class_path, dict(kwargs)


def goes_on(resume: dict[str, Any] | None) -> bool:
    """Whether an attempt goes on after a deferral, rather than beginning with ``execute``."""
    return bool(resume and resume.get("method"))


def resume(task: BaseOperator, told: dict[str, Any], context: Context) -> Any:
    """Go on with a deferred task.

    :param told: see :attr:`clockmill.protocols.Workload.resume`.
    :returns: what the method returned.
    """
    if told.get("error"):
        error, _, trace = told["error"].partition("\n")
        return task.resume_execution(TRIGGER_FAIL, {"error": error, "traceback": trace}, context)
    if "event" not in told:
        raise TaskDeferralError("The task goes on without an event.")
    kwargs = decode(told.get("kwargs") or "{}", allow_classes=True)
    event = decode(told["event"], allow_classes=True)
    return task.resume_execution(told["method"], {**kwargs, "event": event}, context)
