"""The page about the executor protocol, from the docstrings of the classes that it is made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from clockmill.executors import base
from clockmill.executors.setup import ExecutorSetup
from clockmill.protocols import AttemptReport, Workload

_EVENTS = (base.SupervisorUp, base.Started, base.Finished, base.SupervisorDown, base.SupervisorInfo)
_ROLE = re.compile(r":(?:class|meth|func|mod|attr):`~?(?:[\w.]*\.)?(\w+)`")
_FIELD = re.compile(r"^:(?:param|ivar) (\w+): ?")
_QUALIFIED = re.compile(r"\b(?:clockmill|collections|pathlib|typing)(?:\.\w+)*\.(\w+)")


def executors_page(note: str) -> str:
    """The page.

    :param note: that it is made from the code.
    """
    lines = [
        "# The executor protocol",
        "",
        note,
        "",
        "What the scheduler asks of an executor and what it is told.",
        "[Write an executor](../howto/write-an-executor.md) says how to go about it.",
    ]
    lines += _class("clockmill.executors.setup", ExecutorSetup)
    lines += _class("clockmill.executors.base", base.Executor)
    for event in _EVENTS:
        lines += _class("clockmill.executors.base", event)
    lines += _class("clockmill.protocols", Workload)
    lines += _class("clockmill.protocols", AttemptReport)
    lines += _class("clockmill.executors.base", base.BrokeredExecutor)
    lines += _class("clockmill.executors.base", base.Offer)
    return "\n".join(lines) + "\n"


def _class(module: str, cls: type[Any]) -> Iterator[str]:
    yield from ("", f"## `{cls.__name__}`", "", f"From `{module}`.", "")
    fields = inspect.get_annotations(cls)
    yield from _text(inspect.getdoc(cls) or "", fields)
    for name, member in vars(cls).items():
        if inspect.isfunction(member) and not name.startswith("_") and (said := inspect.getdoc(member)):
            signature = _QUALIFIED.sub(r"\1", str(inspect.signature(member))).replace("'", "")
            yield from ("", f"### `{name}{signature.replace('(self, ', '(').replace('(self)', '()')}`", "")
            yield from _text(said, {})


def _text(said: str, types: dict[str, Any]) -> Iterator[str]:
    """A docstring as Markdown; its parameters become a list with the types of the fields that they are."""
    told: set[str] = set()
    for line in _ROLE.sub(r"`\1`", said).replace("``", "`").splitlines():
        if field := _FIELD.match(line):
            told.add(field[1])
            kind = f" ({types[field[1]]})" if field[1] in types else ""
            yield f"- `{field[1]}`{kind}: {line[field.end() :]}"
        else:
            yield re.sub(r"^:raises (\w+): ", r"- raises `\1`: ", re.sub(r"^:returns: ", "- returns ", line))
    if rest := [f"`{name}` ({kind})" for name, kind in types.items() if name not in told]:
        yield from ("", f"Fields: {', '.join(rest)}." if not told else f"And {', '.join(rest)}.")
