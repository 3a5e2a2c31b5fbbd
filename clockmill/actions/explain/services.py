"""Whether the services that a task needs are there."""

from __future__ import annotations

from clockmill.actions.explain.answer import Subject, moment_text
from clockmill.storage.components import list_components


def service_gone(subject: Subject, name: str) -> str | None:
    """A sentence when no service of that name was heard of lately; None when one was, or nobody knows the time.

    :param name: ``scheduler`` or ``triggerer``.
    """
    if subject.now is None:
        return None
    found = [each for each in list_components(subject.connection) if each.name == name]
    if any(each.is_recent(subject.now) for each in found):
        return None
    last = max((each.last_loop for each in found), default=None)
    seen = f": the last one was seen at {moment_text(last)}" if last else ""
    return f"No {name} is running{seen}. Start clockmill {name}."


def is_silent(subject: Subject, name: str, instance: str) -> bool:
    """Whether one instance of a service was not heard of lately, or has left."""
    now = subject.now
    if now is None:
        return False
    found = [each for each in list_components(subject.connection) if (each.name, each.instance) == (name, instance)]
    return not any(each.is_recent(now) for each in found)
