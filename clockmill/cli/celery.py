"""``clockmill celery worker``: runs on this machine what schedulers offer by a broker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from clockmill.cli.app import App
from clockmill.cli.base import Command, Group, pass_app
from clockmill.errors import UsageError
from clockmill.ids import id_problem, queue_problem

if TYPE_CHECKING:
    from clockmill.cli.crew import Crew
    from clockmill.executors.celery.consumer import Doorman
    from clockmill.executors.worker import Worker

log = logging.getLogger(__name__)

#: Seconds that the broker gets to take back what was not acknowledged.
_BROKER_PATIENCE = 5.0


@click.group(cls=Group)
def celery() -> None:
    """Run tasks on any machine, by a broker."""


@celery.command(cls=Command)
@click.option(
    "--queues", "-q", default="default", show_default=True, metavar="A,B", help="The queues of tasks that it serves."
)
@click.option(
    "--concurrency",
    "-c",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="How many tasks it runs at once; else what the settings say of the executor.",
)
@click.option(
    "--resources",
    metavar="NAME=AMOUNT,...",
    help="What it offers, such as gpu=1,memory=12GB, in place of what the settings say of the executor; what is not "
    "named stays as the machine has it.",
)
@click.option(
    "--name", metavar="NAME", help="Tells the workers of one home apart; without it, the name of the executor."
)
@click.option(
    "--executor", metavar="NAME", help="The executor whose tasks it runs, where several are of the kind celery."
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Stop what runs so long after this is stopped; without it tasks run to their end first.",
)
@pass_app
def worker(
    app: App,
    queues: str,
    concurrency: int | None,
    resources: str | None,
    name: str | None,
    executor: str | None,
    grace: float | None,
) -> None:
    """Run a worker.

    When it is asked to stop it takes no new work, and leaves once what runs has ended. Asked a second time it stops
    what runs at once; that is run again elsewhere.
    """
    from clockmill import config
    from clockmill.cli import servicelog
    from clockmill.cli.crew import Crew
    from clockmill.executors.celery.executor import need_celery

    need_celery()
    from clockmill.cli import celery_wiring

    served = _queue_names(queues)
    if name is not None and (problem := id_problem("worker", name)):
        raise UsageError(problem)
    config.create_home(app.settings)
    servicelog.set_up(app.settings)
    agent, doorman = celery_wiring.make_celery_worker(
        app.settings, app.clock, executor=executor, queues=served, slots=concurrency, resources=resources, name=name
    )
    with Crew() as crew:
        crew.start("worker", agent.run)
        crew.start("broker", doorman.run)
        servicelog.tell_start(app.settings, f"worker of {', '.join(served)}")
        _attend(crew, agent, doorman, grace)
    crew.raise_failure()


def _attend(crew: Crew, agent: Worker, doorman: Doorman, grace: float | None) -> None:
    crew.wait()
    if crew.is_working("worker"):
        click.echo("stopping: no new work; tasks that run may finish, another signal stops them at once", err=True)
    agent.drain(grace)
    doorman.stop(0)  # it is waited for at the end: no broker may hold up what a second signal asks for
    stopped = 1
    while crew.is_working("worker"):
        for _ in range(stopped, crew.signals):
            agent.stop()
        stopped = max(stopped, crew.signals)
        crew.wait()
    doorman.stop(_BROKER_PATIENCE if crew.signals < 2 else 0)


def _queue_names(text: str) -> list[str]:
    names = [name for name in (part.strip() for part in text.split(",")) if name]
    if not names:
        raise UsageError("--queues needs the name of at least one queue.")
    for name in names:
        if problem := queue_problem(name):
            raise UsageError(f"--queues: a queue {problem}, not {name[:40]!r}.")
    return list(dict.fromkeys(names))
