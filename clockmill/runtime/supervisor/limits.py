"""What the limits of an attempt's processes have to do with its end."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any


def cpu_is_over(limits: Mapping[str, Any], number: int, used: float) -> str:
    """A sentence when ``cpu_seconds`` were what ended a process, else an empty text.

    :param number: the signal that ended it.
    :param used: its processor time, seconds.
    """
    limit = limits.get("cpu_seconds")
    # The second signal can be told from any other KILL only by what was used, of which the kernel keeps two counts.
    if limit is None or not (number == signal.SIGXCPU or (number == signal.SIGKILL and used >= 0.8 * limit)):
        return ""
    return f"It used up its cpu_seconds of {limit}."


def memory_note(limits: Mapping[str, Any]) -> str:
    """How much memory a process could have, for a reason that may come of it; empty when there was no limit."""
    limit = limits.get("memory_mb")
    return "" if limit is None else f"its memory_mb is {limit}"


def blames_memory(reason: str) -> bool:
    """Whether the reason of a failure is that there was no memory."""
    return "MemoryError" in reason.partition(":")[0]  # NumPy has one of its own
