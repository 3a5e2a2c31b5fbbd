"""Named points in the code where a test can look, wait, or break things.

A probe that nobody armed costs one dictionary look-up. A test arms one in its own process with :func:`arm`, or in
a child process through the environment: ``CLOCKMILL_PROBES="store.commit.before:3=kill"`` kills that process with
SIGKILL the third time that it passes the point, and ``=stop`` halts it with SIGSTOP.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

ENVIRONMENT = "CLOCKMILL_PROBES"

_armed: dict[str, Callable[[], None]] = {}


def probe(name: str) -> None:
    """Pass the point ``name``; does nothing unless a test armed it."""
    if _armed and (action := _armed.get(name)):
        action()


def arm(name: str, action: Callable[[], None]) -> Callable[[], None]:
    """Call ``action`` at each pass of ``name``; returns a function that disarms it again."""
    _armed[name] = action

    def disarm() -> None:
        _armed.pop(name, None)

    return disarm


def _signal_at(pass_number: int, signal_number: int) -> Callable[[], None]:
    seen = 0

    def action() -> None:
        nonlocal seen
        seen += 1
        if seen == pass_number:
            os.kill(os.getpid(), signal_number)

    return action


def arm_from_environment() -> None:
    """Arm what ``CLOCKMILL_PROBES`` names; called once at the start of each of our programs."""
    for item in filter(None, os.environ.get(ENVIRONMENT, "").split(",")):
        point, _, what = item.partition("=")
        name, _, count = point.partition(":")
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}[what]
        arm(name, _signal_at(int(count or "1"), number))
