"""``standalone``, ``scheduler``, ``webserver``, ``dag-processor``: the programs that go on until they are stopped."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app

_folder_option = click.option(
    "--dags-folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder of DAG files; else the settings say, HOME/dags by default.",
)
_port_option = click.option(
    "--port", "-p", type=click.IntRange(0, 65_535), metavar="N", help="The port of the web server; 0 picks a free one."
)


@click.command(cls=Command)
@_folder_option
@_port_option
@click.option("--no-examples", is_flag=True, help="Leave out the example DAGs.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running tasks may go on when this is stopped.",
)
@pass_app
def standalone(app: App, dags_folder: Path | None, port: int | None, no_examples: bool, grace: float) -> None:
    """Run everything in one process tree.

    That is a scheduler, the parsing of DAG files, the local executor, a triggerer and the web server.
    """
    from clockmill.cli.standalone import Standalone

    _override(app, dags_folder, port)
    if no_examples:
        app.overrides["core.load_examples"] = "false"
    Standalone(app.settings, app.clock, grace).run()


@click.command(cls=Command)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Stop what runs so long after this is stopped; without it tasks run on for the next scheduler.",
)
@pass_app
def scheduler(app: App, grace: float | None) -> None:
    """Run a scheduler alone."""
    from clockmill import config
    from clockmill.cli import servicelog, wiring
    from clockmill.cli.crew import Crew

    config.create_home(app.settings)
    servicelog.set_up(app.settings)
    app.await_database()
    service = wiring.make_scheduler(app.settings, app.database, app.clock, grace=grace)
    stop = threading.Event()
    with Crew() as crew:
        crew.start("scheduler", lambda: service.run(stop))
        servicelog.tell_start(app.settings, "scheduler")
        crew.wait()
        stop.set()
        service.interrupt(hurry=crew.signals > 1)
        while crew.is_working():
            crew.wait()
            if crew.signals > 1:
                service.interrupt(hurry=True)
    crew.raise_failure()


@click.command(cls=Command)
@_port_option
@pass_app
def webserver(app: App, port: int | None) -> None:
    """Run the web server alone."""
    from clockmill import config
    from clockmill.cli import servicelog, wiring
    from clockmill.cli.crew import Crew

    _override(app, None, port)
    config.create_home(app.settings)
    servicelog.set_up(app.settings)
    sock = wiring.listen(app.settings)
    app.await_database()
    server = wiring.make_web_server(app.settings, app.database, app.clock, sock)
    with Crew() as crew:
        crew.start("webserver", server.serve)
        click.echo(f"ready {wiring.address_of(sock)}")
        crew.wait()
        server.stop()
        while crew.is_working():
            crew.wait()
    crew.raise_failure()


@click.command("dag-processor", cls=Command)
@_folder_option
@pass_app
def dag_processor(app: App, dags_folder: Path | None) -> None:
    """Run the parsing of DAG files alone."""
    from clockmill import config
    from clockmill.cli import servicelog, wiring
    from clockmill.cli.crew import Crew

    _override(app, dags_folder, None)
    config.create_home(app.settings)
    servicelog.set_up(app.settings)
    app.await_database()
    processor = wiring.make_dag_processor(app.settings, app.database, app.clock)
    stop = threading.Event()
    with Crew() as crew:
        crew.start("dag-processor", lambda: processor.run(stop))
        servicelog.tell_start(app.settings, f"dag-processor of {app.settings.dags_folder}")
        crew.wait()
        stop.set()
        while crew.is_working():
            crew.wait()
    crew.raise_failure()


def _override(app: App, dags_folder: Path | None, port: int | None) -> None:
    if dags_folder is not None:
        # A path on the command line is relative to where the person stands, one in the settings to the home.
        app.overrides["core.dags_folder"] = str(dags_folder.absolute())
    if port is not None:
        app.overrides["webserver.port"] = str(port)
