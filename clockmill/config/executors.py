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
_MOST_TASKS = 100_000
#: What a section may have whichever executor it is about.
_READ_FOR_IT = frozenset({"slots", "resources", "max_tasks_per_process"})


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
    """How many attempts an executor runs at once, and of the rest of its section what it reads itself.

    :raises ConfigError: when ``slots`` is no number that is allowed.
    """
    section = settings.executors.get(section_name(name), {})
    options = {key: value for key, value in section.items() if key not in _READ_FOR_IT}
    return _number(settings, name, "slots", settings.core.parallelism, _MOST_SLOTS), options


def executor_tasks_per_process(settings: Settings, name: str) -> int:
    """How many tasks a process of an executor may run, one after the other.

    :raises ConfigError: when its section has no number that is allowed.
    """
    return _number(settings, name, "max_tasks_per_process", settings.core.max_tasks_per_process, _MOST_TASKS)


def _number(settings: Settings, name: str, key: str, default: int, most: int) -> int:
    value = settings.executors.get(section_name(name), {}).get(key, default)
    try:
        number = int(value) if isinstance(value, str) else value
        if type(number) is not int or not 1 <= number <= most:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"[executor.{name}] {key} is {value!r}, but must be a whole number from 1 to {most}."
        ) from None
    return number


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
