"""What a machine offers to attempts besides slots: what it has, unless it was told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clockmill.errors import ConfigError
from clockmill.host import machine
from clockmill.state import resources


def offered_resources(where: str, told: Any) -> dict[str, float]:
    """The processors and the memory of this machine, and what was told instead or besides.

    :param where: who told it, as an error names it: ``[executor.local] resources``.
    :param told: a table such as ``{"gpu": 1, "memory": "12GB"}``, or the text ``gpu=1,memory=12GB``; None for nothing.
    :raises ConfigError: when it cannot be understood.
    """
    if told is None or told == "":
        return machine.resources()
    try:
        found = resources.parse_text(told) if isinstance(told, str) else resources.parse(told)
    except ValueError as error:
        raise ConfigError(f"{where} {error}.") from None
    named = told if isinstance(told, Mapping) else {part.partition("=")[0].strip() for part in told.split(",")}
    kept = {name: amount for name, amount in machine.resources().items() if name not in named}
    return dict(sorted({**kept, **found}.items()))
