"""Services may be started in any order, so one that finds no database yet says what is missing and waits for it."""

from __future__ import annotations

import click

from clockmill.cli import wiring
from clockmill.clock import Clock
from clockmill.config import Settings
from clockmill.errors import SchemaNotReady
from clockmill.storage.engine import Database, DatabaseUnavailable

_LOOK_SECONDS = 1.0


def await_database(settings: Settings, clock: Clock) -> Database:
    """The metadata database, once it is there and its schema is the one of this program.

    :raises DatabaseError: when waiting does not help.
    """
    told = ""
    while True:
        try:
            return wiring.open_database(settings)
        except (SchemaNotReady, DatabaseUnavailable) as error:
            if str(error) != told:
                told = str(error)
                click.echo(f"clockmill: {told} Waiting for that.", err=True)
        clock.sleep(_LOOK_SECONDS)
