"""Amounts of resources: what a task asks for, and what a machine offers.

An amount is a whole number or one with up to three decimals; a size is in bytes. They are compared exactly: less than
half of the smallest difference is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

#: name -> how much of it.
Amounts = Mapping[str, float]

CPU, MEMORY = "cpu", "memory"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGTP])I?)?B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")
_MOST = 2.0**53
_LONGEST_NAME = 50
_MOST_NAMES = 20
#: Half of the smallest amount.
_NOTHING = 0.0005
#: What other systems call it -> what it is called here.
_CALLED = {
    **dict.fromkeys(("cpus", "cpu_count", "cores", "num_cpus", "vcpu", "vcpus"), CPU),
    **dict.fromkeys(("ram", "mem", "memory_mb", "memory_gb"), MEMORY),
}


def parse(value: Any) -> dict[str, float]:
    """What an author or an operator of machines wrote, by name and sorted; what is 0 is left out.

    :raises ValueError: with the end of a sentence that says what is wrong.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a dictionary such as {{'cpu': 2, 'memory': '4GB'}}, not {_shown(value)}")
    if len(value) > _MOST_NAMES:
        raise ValueError(f"may name up to {_MOST_NAMES} resources, not {len(value)}")
    found = {_name(name): _amount(name, amount) for name, amount in value.items()}
    return {name: found[name] for name in sorted(found) if found[name]}


def parse_text(text: str) -> dict[str, float]:
    """What ``cpu=2,memory=4GB`` says.

    :raises ValueError: with the end of a sentence that says what is wrong.
    """
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, amount = (each.strip() for each in part.partition("="))
        if not equals or name in given:
            raise ValueError(f"must name each resource once, as in 'cpu=2,memory=4GB', not {_shown(text)}")
        given[name] = _number(amount)
    return parse(given)


def _number(text: str) -> Any:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


def _name(name: Any) -> str:
    if isinstance(name, str) and (known := _CALLED.get(name.lower())):
        example = "'memory': '512MB'" if known == MEMORY else "'cpu': 2"
        raise ValueError(f"has {name!r}, which is called {known!r} here: {example}")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ValueError(
            f"has {_shown(name)}, which is no name of a resource: letters, digits, '_', '-' and '.', a letter first, "
            f"up to {_LONGEST_NAME}"
        )
    if name != name.lower() and name.lower() in (CPU, MEMORY):
        raise ValueError(f"has {name!r}, which is written {name.lower()!r}")
    return name


def _amount(name: str, value: Any) -> float:
    if isinstance(value, str) and name != CPU:
        return _size(name, value)
    if name == MEMORY:
        raise ValueError(f"has {_shown(value)} of memory: say it with a unit, such as '512MB' or '4GB'")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _MOST:
        raise ValueError(f"has {_shown(value)} of {name}, which must be a number, not negative")
    rounded = round(float(value), 3)
    if rounded != value:
        raise ValueError(f"has {_shown(value)} of {name}, which may have up to three decimals")
    return _plain(rounded)


def _size(name: str, text: str) -> float:
    found = _SIZE.fullmatch(text.strip())
    if found is None or (name == MEMORY and text.strip()[-1:].isdecimal()):
        raise ValueError(f"has {_shown(text)} of {name}: write a size as a number and a unit, such as '512MB' or '4GB'")
    size = round(float(found[1]) * 1024.0 ** _POWERS[(found[2] or "").upper()])
    if size >= _MOST:
        raise ValueError(f"has {_shown(text)} of {name}, which is more than any machine has")
    return size


def _plain(amount: float) -> float:
    return int(amount) if amount.is_integer() else amount


def _shown(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 60 else f"{told[:57]}..."


# --- as it is kept ---------------------------------------------------------------------------------------------------


def to_text(amounts: Amounts) -> str | None:
    """Amounts as one text, the same for the same amounts; None for nothing."""
    return json.dumps(dict(sorted(amounts.items())), separators=(",", ":")) if amounts else None


def from_text(text: str | None) -> dict[str, float]:
    """The amounts that :func:`to_text` wrote."""
    return dict(json.loads(text)) if text else {}


# --- how they compare ------------------------------------------------------------------------------------------------


def fits(asked: Amounts, free: Amounts) -> bool:
    """Whether there is as much of everything."""
    return all(amount <= free.get(name, 0) + _NOTHING for name, amount in asked.items())


def minus(amounts: Amounts, less: Amounts) -> dict[str, float]:
    """What is left of amounts; below 0 where there was not enough."""
    return {name: amount - less.get(name, 0) for name, amount in amounts.items()}


def plus(amounts: Amounts, more: Amounts) -> dict[str, float]:
    """Both together."""
    return {name: amounts.get(name, 0) + more.get(name, 0) for name in (*amounts, *(more.keys() - amounts.keys()))}


def share(amounts: Amounts, whole: Amounts) -> float:
    """How much of a machine these amounts are: of each resource its part, added up; what is below 0 counts for 0."""
    return sum(max(0.0, amounts.get(name, 0)) / total for name, total in whole.items() if total > 0)


# --- as people read them ---------------------------------------------------------------------------------------------


def spoken(amounts: Amounts) -> str:
    """``2 cpu, 4 GB of memory and 1 gpu``."""
    order = sorted(amounts, key=lambda name: (name != CPU, name != MEMORY, name))
    parts = [spoken_amount(name, amounts[name]) for name in order]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]])) or "nothing"


def spoken_amount(name: str, amount: float) -> str:
    """``4 GB of memory``, ``1 gpu``."""
    if name == MEMORY or (amount >= 1 << 20 and amount % 1024 == 0):
        return f"{spoken_size(amount)} of {name}"
    return f"{_plain(round(float(amount), 3)):,} {name}"


def spoken_size(size: float) -> str:
    """``4.2 GB``, in steps of 1024."""
    power = 0
    while abs(size) >= 1024 and power < len(_UNITS) - 1:
        size /= 1024
        power += 1
    return f"{round(size, 1):g} {_UNITS[power]}"
