"""What the pages ask of the rest of the program to change something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearItem:
    """A task instance that a clear would touch.

    :param state: where it stands now.
    """

    task_id: str
    map_index: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggeredRun:
    """The answer to a trigger.

    :param created: false when a run with that id was there already.
    """

    run_id: str
    created: bool


class Actions(Protocol):
    """Every change that a person can make on the pages.

    Each commits before it returns and wakes the scheduler. They raise :class:`~clockmill.errors.UsageError` when the
    person asked for something that cannot be done, and the page shows its sentence.
    """

    def trigger(
        self,
        dag_id: str,
        *,
        conf: dict[str, Any],
        run_id: str | None,
        note: str = "",
        logical_date: datetime | None = None,
    ) -> TriggeredRun:
        """Make a manual run; one that has that id already is the answer.

        :raises ParamError: when values for the parameters do not fit.
        """
        ...

    def write_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Give a run its note, in place of the one before."""
        ...

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause a DAG."""
        ...

    def preview_clear(
        self, dag_id: str, run_id: str, *, task_ids: Sequence[str], downstream: bool
    ) -> Sequence[ClearItem]:
        """What :meth:`clear` would touch for these tasks; changes nothing."""
        ...

    def clear(self, dag_id: str, run_id: str, *, task_ids: Sequence[str]) -> int:
        """Clear exactly these tasks of one run, so that they run again; returns how many task instances it touched."""
        ...
