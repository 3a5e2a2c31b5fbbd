"""The one composition root: settings in, parts that know each other out.

Each function imports what it puts together: most commands need the database alone, and loading the web server for
them would cost more than the command.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from clockmill.clock import Clock
from clockmill.config import Settings
from clockmill.config.logs import LOGS_BY_API
from clockmill.errors import DatabaseError, SchemaNotReady, UsageError
from clockmill.host.keys import load_or_make_key
from clockmill.host.processes import host_name, new_instance
from clockmill.migrations import runner
from clockmill.migrations.runner import Migration
from clockmill.storage.crypto import KEY_FILE, create_key_file
from clockmill.storage.engine import Connection, Database, DatabaseUnavailable
from clockmill.storage.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clockmill.executors.base import Executor
    from clockmill.executors.setup import ExecutorSetup
    from clockmill.logs.shipping import LogShipper
    from clockmill.logs.store import LogStore
    from clockmill.logs.tasklogs import TaskLogs
    from clockmill.parsing import DagProcessor
    from clockmill.protocols.logs import LogOwner, LogPiece
    from clockmill.protocols.workers import WorkerGateway
    from clockmill.scheduler.service import SchedulerService
    from clockmill.triggerer.service import TriggererService
    from clockmill.webserver.server import WebServer

log = logging.getLogger(__name__)

_DOWN_PAUSE = 0.5


def connect(settings: Settings) -> Database:
    """The metadata database as the settings name it, whatever its schema.

    :raises DatabaseError: when there is no such file, or the URL is no good.
    """
    database = _database(settings)
    if database.sqlite_path is not None and not database.sqlite_path.exists():
        if settings.workers.api_url:
            raise DatabaseError(
                f"This machine knows no database: its workers ask {settings.workers.api_url} ([workers] api_url). Run "
                "this where [database] url is set."
            )
        raise SchemaNotReady(
            f"There is no database {database.sqlite_path} yet: run clockmill standalone, or clockmill db migrate."
        )
    return database


def open_database(settings: Settings) -> Database:
    """The metadata database, of which the schema is known to fit this program.

    :raises DatabaseError: when it is missing or out of reach.
    :raises SchemaMismatch: when its schema is older or newer.
    """
    database = connect(settings)
    try:
        runner.check(database)
    except DatabaseError:
        database.close()
        raise
    return database


def has_own_database(settings: Settings) -> bool:
    """Whether the database is an SQLite file, which belongs to this home alone.

    :raises DatabaseError: when the URL is no good.
    """
    return _database(settings).is_sqlite


def migrate(settings: Settings) -> Migration:
    """Bring the database to the schema of this program, and make the key that its secrets are encrypted with.

    :raises DatabaseError: when the database cannot be used.
    :raises UsageError: when the key cannot be made.
    """
    make_keys(settings)
    database = _database(settings)
    try:
        return runner.upgrade(database)
    finally:
        database.close()


def make_keys(settings: Settings) -> None:
    """Make the key that secrets are encrypted with, where there is none yet.

    :raises UsageError: when it cannot be made.
    """
    try:
        create_key_file(settings.keys_folder / KEY_FILE)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be created: {error.strerror}.") from error


def workers_secret(settings: Settings) -> bytes:
    """What workers prove themselves with.

    :raises UsageError: when its file can be neither read nor made.
    """
    if settings.workers.secret:
        return settings.workers.secret.encode()
    try:
        return load_or_make_key(settings.keys_folder / "workers.key")
    except OSError as error:
        raise UsageError(f"{error.filename} can be neither read nor made: {error.strerror}.") from error


def make_executors(
    settings: Settings, database: Database, clock: Clock
) -> tuple[dict[str, Executor], dict[str, Executor]]:
    """The executors that the settings name, the default first; and those that they named once and that hold attempts.

    :raises UsageError: when there is none of that name, or its options are no good.
    """
    from clockmill.config.executors import refuse_misspelt_sections
    from clockmill.executors import registry, retired
    from clockmill.storage.attempts import executors_in_use
    from clockmill.storage.gateway import FACTORY, gateway_spec

    folder = settings.run_folder / "executors"
    gateway = FACTORY, gateway_spec(database, settings.keys_folder / KEY_FILE)

    def make(name: str, target: str) -> Executor:
        executor_class = registry.load(target)
        made: Executor = executor_class(executor_setup(settings, clock, name, executor_class, gateway))
        return made

    chosen = registry.chosen(settings.core.executor)
    refuse_misspelt_sections(settings, chosen)
    in_use = _read_patiently(database, clock, executors_in_use)
    made = {name: make(name, target) for name, target in chosen.items()}
    retired.remember(folder, chosen)
    return made, retired.revive(folder, in_use - chosen.keys(), make)


def _read_patiently(database: Database, clock: Clock, work: Callable[[Connection], set[str]]) -> set[str]:
    """As ``database.read``; a database that went away after it was opened is waited for, as by every service."""
    outage = Outage(log, clock)
    while True:
        try:
            found = database.read(work)
        except DatabaseUnavailable as error:
            outage.goes_on(error)
            clock.sleep(_DOWN_PAUSE)
        else:
            outage.is_over()
            return found


def executor_setup(
    settings: Settings, clock: Clock, name: str, executor_class: type[Executor], gateway: tuple[str, dict[str, Any]]
) -> ExecutorSetup:
    """What an executor is told when it is made.

    :param gateway: what opens the task gateway, and with what.
    :raises UsageError: when its section of the settings is no good.
    """
    from clockmill.config.executors import executor_section
    from clockmill.executors.capacity import offered_resources
    from clockmill.executors.setup import ExecutorSetup

    own = executor_section(settings, name)
    opener, spec = gateway
    shared = getattr(executor_class, "config_section", None)
    return ExecutorSetup(
        name=name,
        home=settings.home,
        run_folder=settings.run_folder / "executors" / name,
        slots=own.slots,
        gateway=opener,
        gateway_spec=spec,
        orphan_grace=settings.scheduler.orphan_grace_seconds,
        max_tasks_per_process=own.max_tasks_per_process,
        max_log_bytes=settings.logs.max_attempt_mb << 20,
        clock=clock,
        key=workers_secret(settings) if shared else b"",
        options=(vars(getattr(settings, shared)) if shared else {}) | own.options,
        resources=offered_resources(f"[executor.{name}] resources", own.resources),
    )


def make_scheduler(settings: Settings, database: Database, clock: Clock, *, grace: float | None) -> SchedulerService:
    """The scheduler with its executors.

    :param grace: seconds that running tasks get at its end; None leaves them running for the next one.
    :raises UsageError: when an executor cannot be made.
    """
    import os

    from clockmill.scheduler.service import SchedulerService
    from clockmill.storage.wakeup import listen as listen_for_calls

    executors, retired = make_executors(settings, database, clock)
    listener = listen_for_calls(database, settings.run_folder, f"scheduler-{os.getpid()}")
    return SchedulerService(database.by_keys(), clock, settings, executors, listener, retired=retired, grace=grace)


def make_dag_processor(settings: Settings, database: Database, clock: Clock) -> DagProcessor:
    """The service that parses DAG files."""
    from clockmill.parsing import DagProcessor

    return DagProcessor(database, clock, settings)


def load_triggerer() -> None:
    """Import what :func:`make_triggerer` needs, ahead of time."""
    import clockmill.triggerer.service  # noqa: F401


def make_triggerer(
    settings: Settings, database: Database, clock: Clock, *, capacity: int | None = None
) -> TriggererService:
    """The service that runs what deferred tasks wait for.

    :param capacity: how many triggers it runs at once; None leaves that to the settings.
    """
    from clockmill.storage.wakeup import TRIGGERERS
    from clockmill.storage.wakeup import listen as listen_for_calls
    from clockmill.triggerer.service import TriggererService

    name = new_instance()
    listener = listen_for_calls(database, settings.run_folder, name, TRIGGERERS)
    room = settings.triggerer.capacity if capacity is None else capacity
    return TriggererService(database, clock, settings, listener, capacity=room, name=name)


def listen(settings: Settings) -> socket.socket:
    """The socket of the web server, bound before anything else is begun.

    :raises UsageError: when the port is taken.
    """
    from clockmill.webserver.server import listen as bind

    return bind(settings.webserver.host, settings.webserver.port)


def load_webserver() -> None:
    """Import what :func:`make_web_server` needs, ahead of time."""
    import clockmill.webserver.app
    import clockmill.webserver.server  # noqa: F401


def make_task_logs(settings: Settings) -> TaskLogs:
    """What reads the logs of tasks.

    :raises ConfigError: when they go to a store that cannot be used.
    """
    from clockmill.logs.tasklogs import TaskLogs

    return TaskLogs(settings.logs_folder, _log_store(settings), is_sent=bool(settings.logs.remote))


def log_keeper(settings: Settings) -> Callable[[LogOwner, LogPiece], int] | None:
    """What keeps the logs that workers send to this home; None when they send none here."""
    from clockmill.logs.receiver import LogReceiver

    return LogReceiver(settings.logs_folder) if settings.logs.remote == LOGS_BY_API else None


def make_log_shipper(
    settings: Settings, clock: Clock, spool: Path, connect: Callable[[], WorkerGateway]
) -> LogShipper | None:
    """What sends the logs of a worker; None when they stay on its machine.

    :param spool: a folder of this worker alone, which the next one of its name finds again.
    :param connect: opens a way to where its work comes from.
    :raises ConfigError: when they go to a store that cannot be used.
    """
    from clockmill.logs.carriers import ApiCarrier, Carrier, StoreCarrier
    from clockmill.logs.shipping import LogShipper
    from clockmill.logs.spool import Spool

    if not settings.logs.remote:
        return None
    store = _log_store(settings)
    carrier: Carrier = ApiCarrier(connect) if store is None else StoreCarrier(store)
    return LogShipper(Spool(spool), carrier, clock)


def _log_store(settings: Settings) -> LogStore | None:
    if settings.logs.remote in ("", LOGS_BY_API):
        return None
    from clockmill.logs.store import LogStore

    return LogStore(settings.logs.remote, settings.logs.storage_options)


def make_web_server(
    settings: Settings, database: Database, clock: Clock, sock: socket.socket, *, services: tuple[str, ...] = ()
) -> WebServer:
    """The web server on its socket.

    :param services: without which ``/health`` is not healthy, besides those that there always have to be.
    """
    from clockmill.cli.steering import WebActions
    from clockmill.storage.components import ALWAYS_THERE
    from clockmill.webserver.app import create_app
    from clockmill.webserver.server import WebServer
    from clockmill.webserver.site import WebOptions

    options = WebOptions(
        secret_key=load_or_make_key(settings.secret_key_file),
        logs=make_task_logs(settings),
        dags_folder=settings.dags_folder,
        allowed_hosts=frozenset({settings.webserver.host, host_name(), *_names(settings.webserver.allowed_hosts)}),
        default_executor=settings.default_executor,
        executors=settings.executor_names,
        workers=settings.workers,
        components=(*ALWAYS_THERE, *services),
    )
    actions = WebActions(database, clock, settings.run_folder)
    app = create_app(database, options, clock=clock, actions_hook=actions)
    if not settings.webserver.execution_api:
        return WebServer(app, sock, settings.webserver.threads)
    from clockmill.runtime.remote.signing import MOST_BYTES
    from clockmill.storage.crypto import Cipher
    from clockmill.storage.gateway import DatabaseGateway
    from clockmill.storage.worker_gateway import DatabaseWorkerGateway
    from clockmill.webserver.execution import create_execution_app, mounted

    workers = DatabaseWorkerGateway(database.by_keys(), settings.run_folder, clock, log_keeper(settings))
    reads = DatabaseGateway(database, Cipher(settings.keys_folder / KEY_FILE))
    both = mounted(create_execution_app(workers, reads, workers_secret(settings), clock), app)
    return WebServer(both, sock, settings.webserver.threads, max_body=MOST_BYTES)


def address_of(sock: socket.socket) -> str:
    """The address at which this machine itself reaches the server of a socket."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _names(text: str) -> list[str]:
    """Host names as requests have them: without a port, in lower case."""
    return [name.strip().lower() for name in text.split(",") if name.strip()]


def _database(settings: Settings) -> Database:
    options = settings.database
    return Database(settings.database_url, synchronous=options.sqlite_synchronous, pool_size=options.pool_size)
