"""Running one trigger up to its first event."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from clockmill.errors import storable
from clockmill.triggers.base import BaseTrigger, TriggerEvent

_OURS = f"{Path(__file__).resolve().parent.parent}/"
_LONGEST_LINE = 500
_LONGEST_TRACE = 20_000

#: Awaits something for a trigger.
Step = Callable[[Awaitable[Any]], Awaitable[Any]]


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def first_event(trigger: BaseTrigger, step: Step = _await) -> TriggerEvent:
    """Run a trigger until it yields, and close it; cleaning up is left to the caller.

    :param step: does the awaiting, for a caller that wants to see how long it takes.
    :raises TypeError: when it is no trigger.
    :raises RuntimeError: when it ends without an event.
    """
    events: Any = trigger.run()
    if inspect.iscoroutine(events):
        events.close()
        raise TypeError("run() has no yield: it yields a TriggerEvent, and does not return one")
    try:
        event = await step(anext(events))
    except StopAsyncIteration:
        raise RuntimeError("the trigger ended without an event") from None
    finally:
        if inspect.isasyncgen(events):
            await step(events.aclose())
    if not isinstance(event, TriggerEvent):
        raise TypeError(f"run() yields a TriggerEvent, not a {type(event).__name__}")
    return event


def failure_text(error: BaseException) -> str:
    """An error as a task is told of it: one line, and its traceback below."""
    line = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_LINE].rstrip(": ")
    told = traceback.TracebackException.from_exception(error)
    theirs = [frame for frame in told.stack if not frame.filename.startswith(_OURS)]
    told.stack = traceback.StackSummary.from_list(theirs or told.stack)
    trace = "".join(told.format())[-_LONGEST_TRACE:]
    return storable(f"{line}\n{trace}")
