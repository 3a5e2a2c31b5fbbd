"""When the runs of a DAG are due, whoever wrote its timetable."""

from __future__ import annotations

from clockmill.errors import UsageError
from clockmill.serde import Document
from clockmill.serde.schedule import has_stored_ticks, schedule_of
from clockmill.state import RunType
from clockmill.storage.engine import Connection
from clockmill.storage.schedules import stored_ticks
from clockmill.timetables import Schedule


def schedule_for(connection: Connection, document: Document) -> Schedule:
    """The schedule of a DAG, with the stored ticks of a timetable of the author's own.

    :raises DagDefinitionError: when the timetable is of a kind that this program does not know.
    """
    return schedule_of(document, stored_ticks(connection, document.dag_id) if has_stored_ticks(document) else None)


def allows(document: Document, run_type: RunType) -> bool:
    """Whether a DAG may have runs of that type."""
    return document.allowed_run_types is None or run_type in document.allowed_run_types


def refuse_run_type(document: Document, run_type: RunType) -> None:
    """Refuse to make a run that the DAG does not allow.

    :raises UsageError: when it does not.
    """
    if not allows(document, run_type):
        types = ", ".join(document.allowed_run_types or ())
        raise UsageError(f"The DAG {document.dag_id!r} allows no {run_type} runs: its allowed_run_types are {types}.")
