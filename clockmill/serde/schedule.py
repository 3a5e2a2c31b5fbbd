"""When the runs of a stored DAG are due. Apart from the other modules, because it loads the timetables."""

from __future__ import annotations

from clockmill.serde.document import Document
from clockmill.timetables import Schedule, StoredTimetable, TickList, from_dict


def schedule_of(document: Document, stored: TickList | None = None) -> Schedule:
    """The timetable of a DAG, between its start and its end.

    :param stored: the stored ticks of a timetable of the author's own; without them, it has none.
    :raises DagDefinitionError: when the timetable is of a kind that this program does not know.
    """
    timetable = from_dict(dict(document.timetable))
    if isinstance(timetable, StoredTimetable) and stored is not None:
        timetable = timetable.with_ticks(stored.ticks)
    return Schedule(timetable, document.start_date, document.end_date)


def has_stored_ticks(document: Document) -> bool:
    """Whether the ticks of a DAG are stored, because its timetable is the author's own."""
    return bool(document.timetable["type"] == StoredTimetable.kind)
