"""Noticing a trigger that blocks the loop in which all others wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any

from clockmill.clock import Clock

log = logging.getLogger(__name__)

#: A step that took longer than this is worth a warning, in seconds.
LONG_STEP = 0.5
_LOOK_SECONDS = 5.0
#: How often a trigger is warned of at most, in seconds: one that always blocks would fill the log.
_QUIET_SECONDS = 60.0


@dataclass
class _Now:
    """The step that is being taken.

    :param is_told: whether its length was warned of while it went on.
    """

    name: str
    begun: float
    is_told: bool = False


class StepWatch:
    """Measures each step that a trigger takes between two awaits.

    :param mark: told the id of the trigger that begins a step, and 0 when it is over.
    """

    def __init__(self, clock: Clock, mark: Callable[[int], None] | None = None) -> None:
        self._clock = clock
        self._mark = mark or _mark_nowhere
        self._now: _Now | None = None
        self._told: dict[str, float] = {}

    async def __call__(self, awaitable: Awaitable[Any], name: str, ident: int = 0) -> Any:
        """Await, and warn of steps that are too long.

        :param name: whose steps they are, for people.
        :param ident: the trigger.
        """
        return await _Measured(awaitable, name, ident, self)

    def enter(self, name: str, ident: int = 0) -> None:
        """A step begins."""
        self._mark(ident)
        self._now = _Now(name, self._clock.monotonic())

    def leave(self) -> None:
        """It is over."""
        self._mark(0)
        step, self._now = self._now, None
        if step is None:
            return
        now = self._clock.monotonic()
        if now - step.begun >= LONG_STEP and now - self._told.get(step.name, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            self._told = {name: at for name, at in self._told.items() if now - at < _QUIET_SECONDS}
            self._told[step.name] = now
            self._warn(step, now)

    def look(self) -> None:
        """Warn of a step that still goes on."""
        step, now = self._now, self._clock.monotonic()
        if step is not None and not step.is_told and now - step.begun >= _LOOK_SECONDS:
            step.is_told = True
            self._warn(step, now)

    def look_on(self, stop: threading.Event) -> None:
        """Look every few seconds until ``stop``; for a thread of its own, because a blocked loop cannot look."""
        while not stop.wait(_LOOK_SECONDS):
            self.look()

    @staticmethod
    def _warn(step: _Now, now: float) -> None:
        log.warning(
            "a trigger blocks all others: it should await instead",
            extra={"trigger": step.name, "seconds": round(now - step.begun, 1)},
        )


def _mark_nowhere(_ident: int) -> None:
    """Nobody wants to know."""


class _Measured:
    """An awaitable that hands every step on to another one."""

    def __init__(self, awaitable: Awaitable[Any], name: str, ident: int, watch: StepWatch) -> None:
        self._awaitable = awaitable
        self._name = name
        self._ident = ident
        self._watch = watch

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._awaitable.__await__()
        go_on, given = steps.send, None
        while True:
            self._watch.enter(self._name, self._ident)
            try:
                awaited = go_on(given)
            except StopIteration as end:
                return end.value
            finally:
                self._watch.leave()
            try:
                go_on, given = steps.send, (yield awaited)
            except BaseException as error:  # noqa: BLE001 - whatever is thrown in here is the trigger's to handle
                go_on, given = steps.throw, error
