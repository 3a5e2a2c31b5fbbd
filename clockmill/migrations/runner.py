"""Bring the schema of a metadata database to another revision, and say whether it is the one that we know.

Looking costs one small query and does not load Alembic. A migration is one transaction: under ``BEGIN IMMEDIATE`` on
SQLite, under an advisory lock on PostgreSQL, so that of two migrators the second finds the work done.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, inspect, text

from clockmill.errors import DatabaseError, SchemaMismatch, SchemaNotReady, UsageError, did_you_mean
from clockmill.storage.engine import Database

log = logging.getLogger(__name__)

#: The revisions of this program, oldest first; a test compares them with the files in ``versions``.
REVISIONS = ("0001", "0002", "0003", "0004")
#: The revision of an empty database, in the words of Alembic.
BASE = "base"

_LOCK_KEY = 0x434C4B4D  # any number that nobody else is likely to lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """What was done.

    :param before: the revision found; None for an empty database.
    :param after: the revision left behind; None for an empty database.
    :param backup: where the SQLite file was copied to before, when there was anything to lose.
    """

    before: str | None
    after: str | None
    backup: Path | None = None


def head() -> str:
    """The revision that this program works with."""
    return REVISIONS[-1]


def current(database: Database) -> str | None:
    """The revision of the database; None when it is empty.

    :raises DatabaseError: when the database cannot be used.
    """
    return database.read(_current)


def check(database: Database) -> None:
    """Return when the schema is the one that this program knows.

    :raises SchemaNotReady: when it is older or not there, with what to do.
    :raises SchemaMismatch: when it is newer.
    :raises DatabaseError: when the database cannot be used.
    """
    found = current(database)
    _refuse_newer(_name(database), found)
    if found is None:
        raise SchemaNotReady(f"The database {_name(database)} is empty: run clockmill db migrate.")
    if found != head():
        raise SchemaNotReady(
            f"The schema of the database {_name(database)} is older (revision {found}) than this Clockmill "
            f"({head()}): run clockmill db migrate."
        )


def upgrade(database: Database) -> Migration:
    """Bring the database to the revision of this program; an SQLite file is copied aside before.

    :raises SchemaMismatch: when a newer Clockmill made the schema.
    :raises DatabaseError: when the database cannot be used.
    """
    before = current(database)
    _refuse_newer(_name(database), before)
    if before == head():
        return Migration(before=before, after=before)
    copy = backup(database) if before is not None and database.sqlite_path is not None else None
    _apply(database, head())
    return Migration(before=before, after=head(), backup=copy)


def downgrade(database: Database, revision: str) -> Migration:
    """Bring the database back to an older revision, with the loss of what that one does not know.

    :param revision: one of :data:`REVISIONS`, or ``base`` for an empty database.
    :raises UsageError: when there is no such revision, or it is newer than the database.
    :raises SchemaMismatch: when a newer Clockmill made the schema.
    :raises DatabaseError: when the database cannot be used.
    """
    known = (BASE, *REVISIONS)
    if revision not in known:
        raise UsageError(
            f"There is no revision {revision!r}; known are {', '.join(known)}.{did_you_mean(revision, known)}"
        )
    before = current(database)
    _refuse_newer(_name(database), before)
    if known.index(revision) > known.index(before or BASE):
        raise UsageError(f"The database is at revision {before or BASE}, which is older than {revision}.")
    copy = backup(database) if before is not None and database.sqlite_path is not None else None
    if before is not None and revision != before:
        _apply(database, revision)
    return Migration(before=before, after=None if revision == BASE else revision, backup=copy)


def backup(database: Database) -> Path:
    """Copy the file of an SQLite database aside, whole and consistent even while it is in use.

    :returns: the copy, next to the file, named after its revision; readable by its owner alone.
    :raises DatabaseError: when the database is not an SQLite file, or it cannot be copied.
    """
    source = database.sqlite_path
    if source is None:
        raise DatabaseError(f"The database {_name(database)} is not an SQLite file; use pg_dump to copy it.")
    target = _free_name(source, current(database) or BASE)
    try:
        target.touch(mode=0o600, exist_ok=False)
        with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
            original.backup(copy)
    except (OSError, sqlite3.Error) as error:
        target.unlink(missing_ok=True)
        raise DatabaseError(f"The database {source} cannot be copied to {target}: {error}.") from error
    log.info("database copied aside", extra={"target": str(target)})
    return target


def _free_name(source: Path, revision: str) -> Path:
    candidates = (source.with_name(f"{source.name}.{revision}.{number}.bak") for number in count(1))
    return next(path for path in candidates if not path.exists())


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def _refuse_newer(name: str, found: str | None) -> None:
    if found is not None and found not in REVISIONS:
        raise SchemaMismatch(
            f"The schema of the database {name} (revision {found}) was made by a newer Clockmill than this one, which "
            f"knows revisions up to {head()}: use that one, or let it run clockmill db downgrade first."
        )


def _apply(database: Database, revision: str) -> None:
    migrator = _without_foreign_keys(database)
    try:
        migrator.write(lambda connection: _migrate(connection, _name(database), revision))
    finally:
        migrator.close()


def _without_foreign_keys(database: Database) -> Database:
    """A door of its own: SQLite changes a table by dropping the old one, which would cascade to its children."""
    migrator = Database(database.url.render_as_string(hide_password=False), pool_size=1)
    if migrator.is_sqlite:

        @event.listens_for(migrator.engine, "connect")
        def on_connect(dbapi: sqlite3.Connection, _record: object) -> None:
            dbapi.execute("PRAGMA foreign_keys=OFF")

    return migrator


def _migrate(connection: Connection, name: str, revision: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    found = _current(connection)  # again, now that nobody else can change it
    _refuse_newer(name, found)
    known = (BASE, *REVISIONS)
    distance = known.index(revision) - known.index(found or BASE)
    if distance:
        _run_alembic(connection, revision, is_up=distance > 0)
    if connection.dialect.name == "sqlite":
        _refuse_dangling(connection)


def _run_alembic(connection: Connection, revision: str, *, is_up: bool) -> None:
    from alembic import command, config  # loading it takes longer than most commands

    settings = config.Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    settings.attributes["connection"] = connection
    (command.upgrade if is_up else command.downgrade)(settings, revision)


def _refuse_dangling(connection: Connection) -> None:
    dangling: list[Any] = list(connection.execute(text("PRAGMA foreign_key_check")))
    if dangling:
        raise DatabaseError(f"The migration would leave {len(dangling)} rows that point nowhere; nothing was changed.")


def _name(database: Database) -> str:
    return database.url.render_as_string(hide_password=True)
