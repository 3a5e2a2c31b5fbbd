"""Executors by name, from the entry-point group ``clockmill.executors``; none is imported before it is asked for."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from clockmill.errors import ConfigError, did_you_mean

GROUP = "clockmill.executors"


def names() -> list[str]:
    """The names under which installed packages offer executors."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load(name: str) -> type[Any]:
    """The executor class of that name.

    :raises ConfigError: when no package offers it, or the one that does cannot be imported.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = names()
        raise ConfigError(
            f"There is no executor {name!r}.{did_you_mean(name, known)} Installed: {', '.join(known) or 'none'}."
        )
    return _load(next(iter(found)))


def _load(point: EntryPoint) -> type[Any]:
    try:
        loaded: type[Any] = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"The executor {point.name!r} ({point.value}) cannot be loaded: {error}.") from error
    return loaded
