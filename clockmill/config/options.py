"""What an option is: where it stands, what it means, which values it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

_KEY = "option"
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})


class Source(StrEnum):
    """Where the value of an option comes from; later members win over earlier ones."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What the declaration of an option says beside its name, type and default.

    :param unit: of a number, as a person writes it: ``seconds``, ``MiB``.
    :param choices: the only values allowed; empty for any.
    :param default_text: how the default is told when it depends on the machine.
    :param has_secret: whether the value may hold a password, which is masked when shown.
    :param problem: says what is wrong with a value of the right type, or None.
    """

    meaning: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    default_text: str = ""
    has_secret: bool = False
    problem: Callable[[Any], str | None] | None = None


@dataclass(frozen=True)
class Option:
    """One option: ``[section] name`` in the file, ``CLOCKMILL__SECTION__NAME`` in the environment."""

    section: str
    name: str
    kind: type
    default: Any
    traits: Traits

    @property
    def path(self) -> str:
        """``section.name``, the way overrides name it."""
        return f"{self.section}.{self.name}"

    @property
    def label(self) -> str:
        """``[section] name``, the way messages and docs name it."""
        return f"[{self.section}] {self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"CLOCKMILL__{self.section.upper()}__{self.name.upper()}"

    @property
    def default_text(self) -> str:
        """The default for people."""
        return self.traits.default_text or str(self.default)

    def from_text(self, text: str) -> Any:
        """The value that ``text`` from the environment or the command line means.

        :raises ValueError: saying which values are allowed.
        """
        if self.kind is bool:
            return truth(text)
        try:
            value = self.kind(text)
        except ValueError:
            raise ValueError(f"must be {self._a_number()}.") from None
        return self._checked(value)

    def from_toml(self, value: object) -> Any:
        """The value that the configuration file gives, which must have the right type already.

        :raises ValueError: saying which values are allowed.
        """
        expected = str if self.kind is Path else self.kind
        if expected is float and type(value) is int:
            value = float(value)
        if type(value) is not expected:
            raise ValueError(f"must be {self._a_kind()}.")
        return self._checked(self.kind(value))

    def _checked(self, value: Any) -> Any:
        traits = self.traits
        if traits.choices and (value := str(value)) not in traits.choices:
            for choice in traits.choices:
                if choice.lower() == value.lower():
                    return choice
            raise ValueError(f"must be one of {', '.join(traits.choices)}.")
        if self.kind in (int, float):
            self._check_bounds(value)
        if traits.problem and (problem := traits.problem(value)):
            raise ValueError(problem)
        return value

    def _check_bounds(self, value: float) -> None:
        low, high = self.traits.minimum, self.traits.maximum
        if value != value or (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"must be {self._a_number()}.")

    def _a_kind(self) -> str:
        if self.kind in (int, float):
            return self._a_number()
        return "true or false" if self.kind is bool else "a text in quotes"

    def _a_number(self) -> str:
        words = "a whole number" if self.kind is int else "a number"
        if self.traits.unit:
            words += f" of {self.traits.unit}"
        low, high = self.traits.minimum, self.traits.maximum
        if low is not None and high is not None:
            return f"{words} from {low:g} to {high:g}"
        return f"{words} of at least {low:g}" if low is not None else words


def truth(text: str) -> bool:
    """Whether a word means true.

    :raises ValueError: when it means neither true nor false.
    """
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError("must be true or false.")
    return word in _YES


def option(
    default: Any = MISSING, meaning: str = "", *, factory: Callable[[], Any] | None = None, **traits: Any
) -> Any:
    """Declare an option as a field of a section's dataclass.

    :param factory: computes the default where it depends on the machine.
    :param traits: the rest of :class:`Traits`.
    """
    metadata = {_KEY: Traits(meaning=meaning, **traits)}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def described(section: str, declared: Field[Any], kind: type) -> Option:
    """The option that a field of a section declares."""
    factory = declared.default_factory
    default = declared.default if factory is MISSING else factory()
    return Option(section, declared.name, kind, default, declared.metadata[_KEY])
