"""Crashes inside one process: somebody stops at a probe, as if killed there."""

from __future__ import annotations

from collections.abc import Callable

from clockmill.probes import arm


class Crash(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def crash_at(point: str, number: int) -> Callable[[], None]:
    """Arm ``point`` so that its ``number``-th pass is the last thing that somebody does; returns what disarms it."""
    seen = 0

    def pass_point() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Crash

    return arm(point, pass_point)
