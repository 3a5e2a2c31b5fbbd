"""When the runs of a stored DAG are due. Apart from the other modules, because it loads the timetables."""

from __future__ import annotations

from clockmill.serde.document import Document
from clockmill.timetables import Schedule, from_dict


def schedule_of(document: Document) -> Schedule:
    """The timetable of a DAG, between its start and its end.

    :raises DagDefinitionError: when the timetable is of a kind that this program does not know.
    """
    return Schedule(from_dict(dict(document.timetable)), document.start_date, document.end_date)
