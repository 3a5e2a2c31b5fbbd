"""The sections ``[executor.NAME]``: what single executors are told, of which this package need know nothing.

In the environment they are ``CLOCKMILL__EXECUTOR__NAME__KEY``, which wins over the file; what may hold a password may
stand in a file of its own, by ``CLOCKMILL__EXECUTOR__NAME__BROKER_URL_FILE``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSection:
    """What holds for one executor, by its section and, where that says nothing, by ``[core]``.

    :param slots: how many attempts it runs at once.
    :param max_tasks_per_process: how many tasks a process may run, one after the other.
    :param resources: what it offers, as it stands there; None for nothing.
    :param options: the rest of the section, which the executor reads itself.
    """

    slots: int
    max_tasks_per_process: int
    resources: Any
    options: dict[str, Any]


def executor_section(settings: Settings, name: str) -> ExecutorSection:
    """What the settings say of an executor.

    :raises ConfigError: when a number is none that is allowed.
    """
    said = settings.executors.get(section_name(name), {})

    def number(key: str, default: int, most: int) -> int:
        return _number(f"[executor.{name}] {key}", said.get(key, default), most)

    return ExecutorSection(
        slots=number("slots", settings.core.parallelism, _MOST_SLOTS),
        max_tasks_per_process=number("max_tasks_per_process", settings.core.max_tasks_per_process, _MOST_TASKS),
        resources=said.get("resources"),
        options={key: value for key, value in said.items() if key not in _READ_FOR_IT},
    )


def _number(where: str, value: Any, most: int) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
        if type(number) is not int or not 1 <= number <= most:
            raise ValueError
    except ValueError:
        raise ConfigError(f"{where} is {value!r}, but must be a whole number from 1 to {most}.") from None
    return number


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
