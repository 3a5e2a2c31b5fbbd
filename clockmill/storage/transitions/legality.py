"""What every move is checked against before it is written."""

from __future__ import annotations

from enum import StrEnum

from clockmill.state import is_legal


class IllegalTransition(AssertionError):
    """A move that the table of transitions does not know: a mistake of ours."""


def check(what: str, ident: object, old: StrEnum, new: StrEnum) -> None:
    """Make sure that a move is legal.

    :param what: the kind of row, for the message.
    :raises IllegalTransition: when it is not.
    """
    if not is_legal(old, new):
        raise IllegalTransition(f"{what} {ident} cannot go from {old} to {new}.")
