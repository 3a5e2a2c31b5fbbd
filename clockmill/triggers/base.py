"""The base of all triggers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clockmill.clock import Clock, SystemClock
from clockmill.model.context import parameters_of

#: A clock on the wall may be set, and stands still for the other one while a machine sleeps: look again so often.
_LONGEST_NAP = 60.0


@dataclass(frozen=True, slots=True)
class TriggerEvent:
    """What a trigger tells the task that waited for it.

    :param payload: handed to the task as ``event``; stored as an XCom would be.
    """

    payload: Any


class BaseTrigger:
    """Something to wait for. A subclass keeps its arguments in attributes of the same names and defines :meth:`run`.

    The triggerer runs thousands of triggers in one thread: a trigger awaits, and never blocks. It may be run more than
    once for the same task, when a triggerer dies; its first event counts.
    """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How another process makes this trigger again.

        :returns: the import path of its class, and the arguments to make it with, by name. By default the class
            itself, and the attributes that have the names of the arguments.
        :raises AttributeError: when an argument is in no attribute of its name.
        """
        kind = type(self)
        arguments = {name: getattr(self, name) for name in parameters_of(kind).by_name}
        return f"{kind.__module__}.{kind.__qualname__}", arguments

    def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield an event: ``async def run(self)`` with a ``yield TriggerEvent(...)`` in it."""
        raise NotImplementedError(f"{type(self).__name__} has no method run.")

    async def cleanup(self) -> None:
        """Let go of what :meth:`run` holds; called when it ended, however it ended."""

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines go to the log of the triggerer."""
        return logging.getLogger(f"clockmill.trigger.{type(self).__name__}")

    def __repr__(self) -> str:
        path, arguments = self.serialize()
        told = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        return f"{path.rpartition('.')[2]}({told})"


async def sleep_until(moment: datetime, clock: Clock | None = None) -> None:
    """Sleep until the clock on the wall says ``moment``, also when it is set meanwhile or the machine was asleep.

    :param moment: an aware instant.
    """
    import asyncio

    clock = clock or SystemClock()
    while (left := (moment - clock.now()).total_seconds()) > 0:
        await asyncio.sleep(min(left, _LONGEST_NAP))
