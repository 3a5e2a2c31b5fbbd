"""Which DAG and which task group are open, and which DAGs a file being loaded has announced."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clockmill.model.dag import DAG
    from clockmill.model.group import TaskGroup


@dataclass(frozen=True, slots=True)
class Scope:
    """The innermost open DAG and, inside it, the innermost open task group."""

    dag: DAG
    group: TaskGroup | None = None


_scope: ContextVar[Scope | None] = ContextVar("clockmill_scope", default=None)
_announced: ContextVar[list[DAG] | None] = ContextVar("clockmill_announced", default=None)


def current_scope() -> Scope | None:
    """What ``with`` statement the caller is in, or None outside of any."""
    return _scope.get()


def enter(dag: DAG, group: TaskGroup | None = None) -> Token[Scope | None]:
    """Open a DAG or a group; the token goes to :func:`leave`."""
    return _scope.set(Scope(dag, group))


def leave(token: Token[Scope | None]) -> None:
    """Close what the token was given for."""
    _scope.reset(token)


def announce(dag: DAG) -> None:
    """Tell a loader that listens that this DAG was opened, even if no global variable of its file holds it."""
    announced = _announced.get()
    if announced is not None and dag not in announced:
        announced.append(dag)


@contextmanager
def listening() -> Iterator[list[DAG]]:
    """Collect the DAGs that are announced meanwhile; those already open are out of sight."""
    found: list[DAG] = []
    token, outer = _announced.set(found), _scope.set(None)
    try:
        yield found
    finally:
        _scope.reset(outer)
        _announced.reset(token)


def place_of_caller() -> tuple[str, int | None]:
    """File and line of the innermost caller outside of this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("clockmill.model."):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", None)
