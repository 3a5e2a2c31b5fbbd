"""What workers send of the logs of their attempts."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class LogPiece:
    """A piece of what an attempt wrote on its worker.

    :param offset: of its first byte in all that the attempt wrote.
    :param is_last: the attempt is over, and nothing comes after this piece.
    """

    attempt_id: str
    token: str
    offset: int
    data: bytes
    is_last: bool = False

    def to_json(self) -> dict[str, Any]:
        """This piece as a dictionary that JSON knows."""
        return dict(vars(self)) | {"data": b2a_base64(self.data, newline=False).decode()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The piece that :meth:`to_json` wrote."""
        return cls(**data | {"data": a2b_base64(data["data"])})


@dataclass(frozen=True, kw_only=True)
class LogOwner:
    """The try of a task, or the callback, that an attempt belongs to."""

    dag_id: str
    run_id: str
    task_id: str = ""
    map_index: int = -1
    try_number: int = 1
    callback_id: int | None = None
