"""``db``: the schema of the metadata database, and a shell in it."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clockmill.cli.app import App
from clockmill.cli.base import Group, confirm, pass_app
from clockmill.cli.params import yes_option
from clockmill.errors import UsageError

if TYPE_CHECKING:
    from clockmill.migrations.runner import Migration
    from clockmill.storage.engine import Database


@click.group(cls=Group)
def db() -> None:
    """Look after the metadata database."""


@db.command()
@pass_app
def migrate(app: App) -> None:
    """Bring the schema to the version of this program; creates what is missing."""
    from clockmill import config
    from clockmill.cli import wiring

    config.create_home(app.settings)
    began = app.clock.now()
    done = wiring.migrate(app.settings)
    _tell(done)
    if done.before not in (None, done.after):
        with closing(wiring.connect(app.settings)) as database:
            _warn_of_older(database, began)


@db.command()
@click.argument("revision")
@yes_option
@pass_app
def downgrade(app: App, revision: str, yes: bool) -> None:
    """Bring the schema back to REVISION, or to `base`; an SQLite file is copied aside before."""
    from clockmill.cli import wiring
    from clockmill.migrations import runner

    with closing(wiring.connect(app.settings)) as database:
        _refuse_while_used(app, database)
        confirm(f"Downgrade {app.settings.database_url} to {revision}, losing what that does not know?", yes)
        _tell(runner.downgrade(database, revision))


@db.command()
@pass_app
def check(app: App) -> None:
    """Say whether the database can be reached and its schema fits; exit 1 when not."""
    from clockmill.storage.engine import server_version

    click.echo(f"The database answers ({app.read(server_version)}) and its schema fits.")


@db.command()
@yes_option
@pass_app
def reset(app: App, yes: bool) -> None:
    """Delete everything in the database and make it anew; an SQLite file is copied aside before."""
    from clockmill.cli import wiring
    from clockmill.migrations import runner

    with closing(wiring.connect(app.settings)) as database:
        _refuse_while_used(app, database)
        confirm(f"Delete every run, variable and connection in {app.settings.database_url}?", yes)
        _tell(runner.downgrade(database, runner.BASE))
    _tell(wiring.migrate(app.settings))


@db.command()
@pass_app
def shell(app: App) -> None:
    """Open the database in its own shell, sqlite3 or psql."""
    from clockmill.cli import wiring

    database = wiring.connect(app.settings)
    if database.sqlite_path is not None:
        _become("sqlite3", [str(database.sqlite_path)], {})
    url = database.url
    given = {"PGHOST": url.host, "PGPORT": url.port, "PGUSER": url.username, "PGDATABASE": url.database}
    environment = {key: str(value) for key, value in given.items() if value is not None}
    # The password goes by the environment: an argument could be read by everybody on the machine.
    _become("psql", [], environment | ({"PGPASSWORD": str(url.password)} if url.password else {}))


def _refuse_while_used(app: App, database: Database) -> None:
    """A service must not lose its tables, and the runs it is at, under its feet."""
    now = app.clock.now()
    if found := _users(database, now):
        last = max(found.values())
        raise UsageError(
            f"The database is in use by {', '.join(found)}: stop that first. Last heard of {(now - last).seconds} s "
            "ago; what was killed is forgotten after half a minute."
        )


def _warn_of_older(database: Database, began: datetime) -> None:
    """What is at work since before the migration knows the tables as they were."""
    if found := [name for name, seen_at in _users(database, began).items() if seen_at <= began]:
        click.echo(
            f"These were at work meanwhile, with the older tables; start them again: {', '.join(found)}.", err=True
        )


def _users(database: Database, now: datetime) -> dict[str, datetime]:
    """Who uses the database, and when each was last heard of."""
    from clockmill.storage.components import at_work
    from clockmill.storage.worker_list import workers_at_work

    services, workers = database.read(lambda c: (at_work(c, now), workers_at_work(c, now)))
    found = {f"{each.name} (process {each.pid} on {each.host})": each.last_loop for each in services}
    return found | {f"worker {each.id} (process {each.pid} on {each.host})": each.seen_at for each in workers}


def _become(program: str, arguments: list[str], environment: dict[str, str]) -> None:
    path = shutil.which(program)
    if path is None:
        raise UsageError(f"The program {program} is not installed; install it to use this shell.")
    os.execve(path, [Path(path).name, *arguments], os.environ | environment)


def _tell(done: Migration) -> None:
    if done.backup is not None:
        click.echo(f"The database was copied to {done.backup}.")
    if done.before == done.after:
        click.echo(f"The schema is at revision {done.after or 'base'} already.")
    else:
        click.echo(f"The schema went from revision {done.before or 'base'} to {done.after or 'base'}.")
