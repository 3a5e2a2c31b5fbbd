"""The sections ``[executor.NAME]``: what single executors are told, of which this package need know nothing.

In the environment they are ``CLOCKMILL__EXECUTOR__NAME__KEY``, which wins over the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from clockmill.config.settings import Settings
from clockmill.errors import ConfigError, nearest

#: The section of the file that holds one for each executor.
SECTION = "executor"

_PREFIX = f"CLOCKMILL__{SECTION.upper()}__"
_MOST_SLOTS = 10_000


def section_name(name: str) -> str:
    """The name of an executor as files and environments may both spell it."""
    return name.lower().replace("-", "_")


def from_toml(content: object) -> Iterator[tuple[str, str, Any] | str]:
    """What the table ``executor`` of the file says: section, option and value of each, or what is wrong."""
    if not isinstance(content, dict):
        yield f"{SECTION!r} must hold a section for each executor, [executor.NAME]; set [core] executor to choose some."
        return
    for name, options in content.items():
        if isinstance(options, dict):
            yield from ((section_name(name), key, value) for key, value in options.items())
        else:
            yield f"the section [{SECTION}] has no options, but sections: write [executor.NAME] before {name!r}."


def from_environment(variable: str) -> tuple[str, str] | None:
    """The section and the option that a variable of the environment sets; None when it sets none of an executor."""
    section, _, key = variable.removeprefix(_PREFIX).lower().partition("__")
    return (section, key) if variable.startswith(_PREFIX) and section and key else None


def executor_options(settings: Settings, name: str) -> tuple[int, dict[str, Any]]:
    """How many attempts an executor runs at once, and the rest of its section but its ``resources``.

    :raises ConfigError: when ``slots`` is no number that is allowed.
    """
    options = dict(settings.executors.get(section_name(name), {}))
    options.pop("resources", None)
    slots = options.pop("slots", settings.core.parallelism)
    try:
        number = int(slots) if isinstance(slots, str) else slots
        if type(number) is not int or not 1 <= number <= _MOST_SLOTS:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"[executor.{name}] slots is {slots!r}, but must be a whole number from 1 to {_MOST_SLOTS}."
        ) from None
    return number, options


def executor_resources(settings: Settings, name: str) -> Any:
    """What the section of an executor says of the resources that it offers, as it stands there; None for nothing."""
    return settings.executors.get(section_name(name), {}).get("resources")


def refuse_misspelt_sections(settings: Settings, names: Collection[str]) -> None:
    """Refuse sections of executors that are not there, but nearly; one that is merely not in use does no harm.

    :param names: the executors that there are.
    :raises ConfigError: naming the section.
    """
    known: Mapping[str, str] = {section_name(name): name for name in names}
    for section in sorted(settings.executors.keys() - known.keys()):
        if match := nearest(section, known.keys()):
            raise ConfigError(
                f"[executor.{section}] is about no executor of [core] executor. Did you mean {known[match]!r}?"
            )
