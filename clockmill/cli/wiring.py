"""The one composition root: settings in, parts that know each other out."""

from __future__ import annotations

from clockmill.config import Settings
from clockmill.errors import DatabaseError
from clockmill.migrations import runner
from clockmill.migrations.runner import Migration
from clockmill.storage.engine import Database


def connect(settings: Settings) -> Database:
    """The metadata database as the settings name it, whatever its schema.

    :raises DatabaseError: when there is no such file, or the URL is no good.
    """
    database = _database(settings)
    if database.sqlite_path is not None and not database.sqlite_path.exists():
        raise DatabaseError(
            f"There is no database in {settings.home} yet: run clockmill standalone, or clockmill db migrate."
        )
    return database


def open_database(settings: Settings) -> Database:
    """The metadata database, of which the schema is known to fit this program.

    :raises DatabaseError: when it is missing or out of reach.
    :raises SchemaMismatch: when its schema is older or newer.
    """
    database = connect(settings)
    runner.check(database)
    return database


def migrate(settings: Settings) -> Migration:
    """Bring the database to the schema of this program, and make the key that it needs.

    :raises DatabaseError: when the database cannot be used.
    """
    database = _database(settings)
    try:
        return runner.upgrade(database)
    finally:
        database.close()


def _database(settings: Settings) -> Database:
    options = settings.database
    return Database(settings.database_url, synchronous=options.sqlite_synchronous, pool_size=options.pool_size)
