"""Notes that people leave at runs."""

from __future__ import annotations

from clockmill.clock import Clock
from clockmill.errors import NotFound, UsageError
from clockmill.events import Event, EventKind
from clockmill.storage.engine import Connection, Database
from clockmill.storage.events import append
from clockmill.storage.runs import run_ids_known, set_note

MAX_NOTE = 4_000


def checked_note(note: str) -> str:
    """``note`` as it is stored.

    :raises UsageError: when it is too long, or holds what no database stores.
    """
    note = note.strip()
    if len(note) > MAX_NOTE:
        raise UsageError(f"The note has {len(note):,} characters; at most {MAX_NOTE:,} are allowed.")
    if not note.isascii() and note != note.encode(errors="replace").decode():
        raise UsageError("The note holds text that cannot be stored.")
    if "\0" in note:
        raise UsageError("The note holds a NUL character, which no text has.")
    return note


def write_note(database: Database, clock: Clock, dag_id: str, run_id: str, note: str, *, actor: str) -> None:
    """Give a run its note, in place of the one before; an empty one takes it away.

    :raises NotFound: when there is no such run.
    :raises UsageError: when the note cannot be stored.
    """
    text = checked_note(note)

    def work(connection: Connection) -> None:
        if not set_note(connection, dag_id, run_id, text):
            raise NotFound("run", run_id, run_ids_known(connection, dag_id))
        kind = EventKind.RUN_NOTE
        append(connection, [Event(kind=kind, at=clock.now(), actor=actor, dag_id=dag_id, run_id=run_id)])

    database.write(work)
