"""``info`` and ``version``: what is installed, and where everything is."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

import click

from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.output import output_option, show_record
from clockmill.errors import DatabaseError
from clockmill.executors import registry

_LIBRARIES = ("sqlalchemy", "alembic", "flask", "waitress", "croniter", "psycopg", "celery")


def program_version() -> str:
    """The version of the installed distribution; ``unknown`` when it runs from a bare source tree."""
    try:
        return metadata.version("clockmill")
    except metadata.PackageNotFoundError:
        return "unknown"


@click.command(cls=Command)
def version() -> None:
    """Print the version."""
    click.echo(program_version())


@click.command(cls=Command)
@output_option
@pass_app
def info(app: App, output: str) -> None:
    """Show what is installed and where everything is."""
    settings = app.settings
    record: dict[str, Any] = {
        "version": program_version(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "home": settings.home,
        "dags_folder": settings.dags_folder,
        "logs_folder": settings.logs_folder,
        "executor": settings.core.executor,
        "executors_installed": ", ".join(sorted(registry.installed().names)),
        "database": _database(app),
    }
    show_record(record | {name: _library(name) for name in _LIBRARIES}, output)


def _library(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _database(app: App) -> str:
    from clockmill.storage.engine import server_version

    try:
        return app.read(server_version)
    except DatabaseError as error:
        return str(error)
