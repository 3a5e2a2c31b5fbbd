"""Where XCom values are kept: in the metadata database, or anywhere else with a reference in it."""

from __future__ import annotations

from typing import Protocol


class XComBackend(Protocol):
    """Called in the task process, around the text of each value.

    A backend for large values writes the text to a store of its own and returns a short reference, as JSON text,
    which is what the metadata database keeps and ``max_xcom_bytes`` counts.
    """

    def store(self, text: str, *, dag_id: str, run_id: str, task_id: str, map_index: int, key: str) -> str:
        """Keep ``text`` and return the JSON text to be stored in its place."""
        ...

    def load(self, text: str) -> str:
        """The text that was given to :meth:`store`, for what it returned."""
        ...


class DatabaseBackend:
    """The default: the metadata database keeps the value itself."""

    def store(self, text: str, *, dag_id: str, run_id: str, task_id: str, map_index: int, key: str) -> str:
        return text

    def load(self, text: str) -> str:
        return text
