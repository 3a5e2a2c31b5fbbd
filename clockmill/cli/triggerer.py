"""``clockmill triggerer``: runs what deferred tasks wait for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app

if TYPE_CHECKING:
    from clockmill.triggerer.service import TriggererService

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command(cls=Command)
@click.option(
    "--capacity",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="How many triggers it runs at once; else the settings say, 10,000 by default.",
)
@click.option("--parent", type=int, hidden=True)
@pass_app
def triggerer(app: App, capacity: int | None, parent: int | None) -> None:
    """Run a triggerer alone.

    It runs what deferred tasks wait for. Several share the work.
    """
    from clockmill import config
    from clockmill.cli import servicelog, wiring
    from clockmill.host import processes

    if parent is not None:
        processes.die_with_parent(parent)
        wiring.load_triggerer()
        if not sys.stdin.readline():
            return
    config.create_home(app.settings)
    servicelog.set_up(app.settings)
    app.await_database()
    service = wiring.make_triggerer(app.settings, app.database, app.clock, capacity=capacity)
    # Triggers are the author's code: they have no business with what the settings hold.
    for name in [name for name in os.environ if name.startswith(processes.SETTINGS_PREFIX)]:
        del os.environ[name]
    if parent is None:
        servicelog.tell_start(app.settings, "triggerer")
    asyncio.run(_serve(service))


async def _serve(service: TriggererService) -> None:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, service.stop)
    await service.run()
