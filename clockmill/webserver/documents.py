"""The stored DAG documents that pages show, read once per version: a version never changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

from clockmill.serde import Document, TaskDoc, decode
from clockmill.storage import pages

if TYPE_CHECKING:
    from clockmill.storage.engine import Database

_KEPT = 32


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a DAG as pages show it."""

    number: int
    created_at: datetime
    document: Document
    tasks: Mapping[str, TaskDoc]


class Documents:
    """The versions asked for last."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[int, Version] = OrderedDict()
        self._lock = Lock()

    def get(self, version_id: int | None) -> Version | None:
        """The version with that row id; None when there is none."""
        if version_id is None:
            return None
        with self._lock:
            if version_id in self._kept:
                self._kept.move_to_end(version_id)
                return self._kept[version_id]
        found = self._load(version_id)
        if found is not None:
            with self._lock:
                self._kept[version_id] = found
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return found

    def _load(self, version_id: int) -> Version | None:
        line = self._database.read(lambda c: pages.find_version(c, version_id))
        if line is None:
            return None
        document = decode(line.document)
        return Version(line.number, line.created_at, document, {task.task_id: task for task in document.tasks})
