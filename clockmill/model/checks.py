"""Checks of the values that authors give: each takes a value, returns what is stored, or says what is wrong.

A check raises :class:`ValueError` with the end of a sentence (``must be ...``); :func:`checked` names the owner and the
argument. A table of checks is at the same time the list of the argument names that exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from clockmill.errors import DagDefinitionError, did_you_mean, nearest
from clockmill.ids import queue_problem

Check = Callable[[Any], Any]

#: The largest number that every database can hold in a column of whole numbers.
MOST = 2**31 - 1
#: A hundred years; a moment of today and as much more is still a date.
LONGEST = timedelta(days=36_525)


def checked(owner: str, checks: Mapping[str, Check], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """``arguments`` as they are to be stored.

    :param owner: who the arguments are for, as a sentence names it: ``DAG 'sales'``.
    :raises DagDefinitionError: when a value is not allowed.
    """
    stored = {}
    for name, value in arguments.items():
        try:
            stored[name] = checks[name](value)
        except ValueError as error:
            raise DagDefinitionError(f"{owner}: {name} {error}.") from None
    return stored


def refuse_unknown(owner: str, given: Iterable[str], known: Iterable[str], gone: Mapping[str, str]) -> None:
    """Refuse arguments that do not exist.

    :param gone: for names that used to exist, what to do instead.
    :raises DagDefinitionError: naming the first unknown argument and the nearest one that exists.
    """
    known = list(known)
    for name in given:
        if name not in known:
            hint = f" {gone[name]}" if name in gone else did_you_mean(name, known)
            raise DagDefinitionError(f"{owner}: there is no argument {name!r}.{hint}")


def anything(value: Any) -> Any:
    """Whatever is given."""
    return value


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {shown(value)}")
    return value


def queue(value: Any) -> str:
    """The name of a queue that workers can serve."""
    name = text(value)
    if problem := queue_problem(name):
        raise ValueError(f"{problem}, not {shown(value)}")
    return name


def flag(value: Any) -> bool:
    """True or False, and nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {shown(value)}")
    return value


def whole(least: int | None = None) -> Check:
    """An integer, not below ``least``, that a column of the database can hold."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
            bound = "" if least is None else f" of at least {least}"
            raise ValueError(f"must be a whole number{bound}, not {shown(value)}")
        if abs(value) > MOST:
            raise ValueError(f"must be a whole number of at most {MOST}, not {shown(value)}")
        return value

    return check


def backoff(value: Any) -> bool | float:
    """A multiplier of at least 1, or a flag."""
    if isinstance(value, (bool, int, float)) and (isinstance(value, bool) or 1 <= value <= MOST):
        return value
    raise ValueError(f"must be True, False or a number of at least 1, not {shown(value)}")


def part(value: Any) -> float:
    """A number from 0 to 1; True is all of it."""
    if isinstance(value, (bool, int, float)) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"must be a number from 0 to 1, not {shown(value)}")


def duration(value: Any) -> timedelta:
    """A ``timedelta`` or a number of seconds, not negative; what is added to a moment has to stay in the calendar."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) <= LONGEST.total_seconds():  # nor is NaN
            raise ValueError(f"must be at most {LONGEST.days} days, not {shown(value)} seconds")
        value = timedelta(seconds=value)
    if not isinstance(value, timedelta) or value < timedelta(0):
        raise ValueError(f"must be a timedelta or a number of seconds, not negative, not {shown(value)}")
    if value > LONGEST:
        raise ValueError(f"must be at most {LONGEST.days} days, not {shown(value)}")
    return value


def moment(value: Any) -> datetime:
    """A ``datetime``, a ``date`` (its midnight) or ISO 8601 text; still naive when it was given so."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"must be a datetime or ISO 8601 text, not {value!r}") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - naive means the zone of the DAG
    if not isinstance(value, datetime):
        raise ValueError(f"must be a datetime, not {shown(value)}")
    return value


def one_of(choices: type[StrEnum]) -> Check:
    """A member of ``choices``, or its text."""

    def check(value: Any) -> StrEnum:
        try:
            return choices(value)
        except ValueError:
            names = [str(choice) for choice in choices]
            near = nearest(str(value), names)
            hint = f"; perhaps you mean {near!r}" if near else ""
            raise ValueError(f"must be one of {', '.join(names)}, not {shown(value)}{hint}") from None

    return check


def some_of(choices: type[StrEnum]) -> Check:
    """One or several members of ``choices``, each once, sorted."""
    one = one_of(choices)

    def check(value: Any) -> tuple[StrEnum, ...]:
        several = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
        if not several:
            raise ValueError("must name one or more")
        return tuple(sorted({one(each) for each in several}))

    return check


def callbacks(value: Any) -> tuple[Callable[..., Any], ...]:
    """A callable or a list of them, stored as a tuple."""
    several = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for one in several:
        if not callable(one):
            raise ValueError(f"must be a function or a list of functions, not {shown(one)}")
    return several


def function(value: Any) -> Callable[..., Any]:
    """A callable."""
    if not callable(value):
        raise ValueError(f"must be a function, not {shown(value)}")
    return value  # type: ignore[no-any-return]


def strings(value: Any) -> tuple[str, ...]:
    """Strings, each once, sorted; a single string is one of them."""
    several = {value} if isinstance(value, str) else value
    if not isinstance(several, (list, tuple, set, frozenset)) or not all(isinstance(one, str) for one in several):
        raise ValueError(f"must be a list of strings, not {shown(value)}")
    return tuple(sorted(set(several)))


def paths(value: Any) -> tuple[str, ...]:
    """One or several folders, in order."""
    several = value if isinstance(value, (list, tuple)) else [value]
    return tuple(text(str(one)) for one in several)


def mapping(value: Any) -> dict[str, Any]:
    """A dictionary with string keys, copied."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"must be a dictionary with string keys, not {shown(value)}")
    return dict(value)


def sequence(value: Any) -> tuple[Any, ...]:
    """One thing or a list of things."""
    return tuple(value) if isinstance(value, (list, tuple, set)) else (value,)


def optional(check: Check) -> Check:
    """None, or what ``check`` lets pass."""

    def wrapped(value: Any) -> Any:
        return None if value is None else check(value)

    return wrapped


def shown(value: Any) -> str:
    """``value`` as an error shows it, cut off when it is long."""
    told = repr(value)
    return told if len(told) <= 60 else f"{told[:57]}..."
