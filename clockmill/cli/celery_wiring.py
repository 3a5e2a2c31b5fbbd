"""Puts together a worker of the Celery executor, and who listens to the broker for it."""

from __future__ import annotations

from collections.abc import Sequence

from clockmill.cli.worker_wiring import make_worker, worker_setup
from clockmill.clock import Clock
from clockmill.config import Settings
from clockmill.executors.celery.consumer import Doorman
from clockmill.executors.celery.doorbell import BrokerOptions
from clockmill.executors.celery.ear import Listening
from clockmill.executors.celery.executor import CeleryExecutor, need_transport
from clockmill.executors.worker import Worker


def make_celery_worker(
    settings: Settings,
    clock: Clock,
    *,
    executor: str | None,
    queues: Sequence[str],
    slots: int | None,
    resources: str | None,
    name: str | None,
) -> tuple[Worker, Doorman]:
    """A worker, and who listens to the broker for it; for the parameters see :func:`worker_setup`.

    :param name: tells apart the workers of this home; None for the name of the executor.
    :raises DatabaseError: when it asks the database itself, which is not as it should be.
    :raises UsageError: when there is no such executor, its options are no good, or the name is taken.
    """
    setup = worker_setup(settings, clock, CeleryExecutor, executor=executor, slots=slots, resources=resources)
    options = BrokerOptions.of(setup)
    need_transport(options.url)
    agent = make_worker(settings, setup, queues, name=name)
    listening = Listening(options=options, queues=queues, name=name or setup.name, slots=setup.slots)
    doorman = Doorman(listening, knock=agent.knock, nudge=agent.nudge, clock=clock)
    agent.door.attend(missed=doorman.missed, welcome=doorman.welcome)
    return agent, doorman
