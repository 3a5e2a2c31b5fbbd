"""When the runs of a DAG are due, whoever wrote its timetable."""

from __future__ import annotations

from clockmill.serde import Document
from clockmill.serde.schedule import has_stored_ticks, schedule_of
from clockmill.storage.engine import Connection
from clockmill.storage.schedules import stored_ticks
from clockmill.timetables import Schedule


def schedule_for(connection: Connection, document: Document) -> Schedule:
    """The schedule of a DAG, with the stored ticks of a timetable of the author's own.

    :raises DagDefinitionError: when the timetable is of a kind that this program does not know.
    """
    return schedule_of(document, stored_ticks(connection, document.dag_id) if has_stored_ticks(document) else None)
