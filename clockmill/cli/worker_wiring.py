"""Puts workers together, as :mod:`clockmill.cli.wiring` does the other programs.

:func:`worker_setup` and :func:`make_worker` are there for packages with a brokered executor, too: the program that they
bring for its workers is made of these.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clockmill.bundles import Bundle, FetchedBundles
from clockmill.cli import wiring
from clockmill.cli.info import program_version
from clockmill.cli.readiness import await_database
from clockmill.clock import Clock
from clockmill.config import Settings
from clockmill.config.workers import is_overheard
from clockmill.errors import UsageError, did_you_mean
from clockmill.executors import registry
from clockmill.executors.base import Executor
from clockmill.executors.capacity import offered_resources
from clockmill.executors.setup import ExecutorSetup
from clockmill.executors.worker import HomeLogs, Worker, WorkerSetup
from clockmill.protocols.workers import WorkerGateway
from clockmill.storage.crypto import KEY_FILE

log = logging.getLogger(__name__)


def worker_setup(
    settings: Settings,
    clock: Clock,
    kind: type[Executor],
    *,
    executor: str | None = None,
    slots: int | None = None,
    resources: str | None = None,
) -> ExecutorSetup:
    """What the settings say of the executor whose offers a worker is to take, its options with it.

    :param kind: the class of that executor.
    :param executor: its name; None for the only one of its kind.
    :param slots: how many tasks the worker runs at once; None leaves that to the settings.
    :param resources: what it offers, as in ``gpu=1,memory=12GB``; None leaves that to the settings.
    :raises DatabaseError: when it asks the database itself, which is not as it should be.
    :raises UsageError: when there is no such executor, or the settings are of no use to a worker.
    """
    if settings.workers.api_url and find_spec("urllib3") is None:
        raise UsageError("[workers] api_url needs urllib3, which is not installed: pip install 'clockmill[remote]'.")
    if settings.workers.beat_seconds > settings.workers.lease_seconds / 3:
        raise UsageError("[workers] beat_seconds must be at most a third of lease_seconds: one beat may get lost.")
    if is_overheard(settings.workers.api_url):
        log.warning(
            "%s is not encrypted: whoever is on the way there can read the connections and variables of tasks, "
            "and change what they run",
            settings.workers.api_url,
        )
    chosen = _executor_of_kind(settings, kind, executor)
    setup = wiring.executor_setup(settings, clock, chosen, kind, task_gateway(settings, clock))
    setup = setup if slots is None else replace(setup, slots=slots)
    return setup if resources is None else replace(setup, resources=offered_resources("--resources", resources))


def make_worker(settings: Settings, setup: ExecutorSetup, queues: Sequence[str], *, name: str | None = None) -> Worker:
    """A worker that takes what is offered in some queues. It needs nobody who rings, but finds its work sooner by that.

    :param setup: as :func:`worker_setup` gives it.
    :param name: tells apart the workers of this home; None for the name of the executor.
    :raises UsageError: when the name is taken.
    """
    name, clock = name or setup.name, setup.clock
    connect = _gateway_opener(settings, clock)
    run_folder = settings.run_folder / "workers" / name
    shipper = wiring.make_log_shipper(settings, clock, run_folder / "logs", connect)
    return Worker(
        WorkerSetup(
            name=name,
            # Of the options, all are about the broker.
            executor=replace(setup, run_folder=run_folder, options={}, key=b""),
            queues=queues,
            version=program_version(),
            logs=shipper or HomeLogs(settings.logs_folder),
            beat_seconds=settings.workers.beat_seconds,
            lease_seconds=settings.workers.lease_seconds,
            connect=connect,
            fetch_bundle=_bundle_fetcher(settings, clock, connect),
            gateway_kind="http" if settings.workers.api_url else "database",
        )
    )


def _executor_of_kind(settings: Settings, kind: type[Executor], name: str | None) -> str:
    """The name of the executor of that kind that the settings have, or the one of that name."""
    shown = kind.__name__.removesuffix("Executor").lower()
    chosen = registry.chosen(settings.core.executor)
    found = [each for each, target in chosen.items() if issubclass(registry.load(target), kind)]
    if name in found:
        return name
    if not found:
        raise UsageError(
            f"Of the executors {', '.join(chosen)} none is of the kind {shown}: put {shown} into [core] executor, on "
            "this machine as on that of the scheduler."
        )
    if name is not None:
        raise UsageError(f"No executor of the kind {shown} is named {name!r}.{did_you_mean(name, found)}")
    if len(found) > 1:
        which = ", ".join(found)
        raise UsageError(f"Several executors are of the kind {shown}: say with --executor which, {which}.")
    return found[0]


def task_gateway(settings: Settings, clock: Clock) -> tuple[str, dict[str, Any]]:
    """What opens the gateway of tasks, and with what: over HTTP where the settings say so, else to the database.

    A worker waits for the database as every service does.

    :raises DatabaseError: when waiting does not help.
    """
    if settings.workers.api_url:
        from clockmill.runtime.remote import reads

        ca_file = settings.workers.api_ca_file or None
        return reads.FACTORY, reads.gateway_spec(settings.workers.api_url, wiring.workers_secret(settings), ca_file)
    from clockmill.storage.gateway import FACTORY, gateway_spec

    database = await_database(settings, clock)
    try:
        return FACTORY, gateway_spec(database, settings.keys_folder / KEY_FILE)
    finally:
        database.close()


def _gateway_opener(settings: Settings, clock: Clock) -> Callable[[], WorkerGateway]:
    """Opens the gateway of workers, a new one with each call."""

    def by_http() -> WorkerGateway:
        from clockmill.runtime.remote.client import ANSWER_SECONDS, Client
        from clockmill.runtime.remote.worker import HttpWorkerGateway

        ca_file = settings.workers.api_ca_file or None
        # One call that is never answered must not cost the lease.
        patience = min(ANSWER_SECONDS, settings.workers.lease_seconds / 3)
        secret = wiring.workers_secret(settings)
        return HttpWorkerGateway(Client(settings.workers.api_url, secret, ca_file=ca_file, answer_seconds=patience))

    def by_database() -> WorkerGateway:
        from clockmill.storage.worker_gateway import DatabaseWorkerGateway

        keeper = wiring.log_keeper(settings)
        return DatabaseWorkerGateway(wiring.connect(settings).by_keys(), settings.run_folder, clock, keeper)

    return by_http if settings.workers.api_url else by_database


def _bundle_fetcher(settings: Settings, clock: Clock, connect: Callable[[], WorkerGateway]) -> Callable[[str], Path]:
    """Gives the folders of bundles on this machine, and fetches what is missing of them; for one thread."""
    here = FetchedBundles(settings.bundles_folder, clock, settings.workers.keep_bundles)
    gateway = cache(connect)

    def fetch(bundle: str) -> Path:
        return here.get(
            bundle,
            lambda: Bundle.from_manifest(gateway().get_manifest(bundle)),
            lambda hashes: gateway().get_files(list(hashes)),
        )

    return fetch
