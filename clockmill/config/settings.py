"""The one table of options: each field below is an option with its type, default, bounds and meaning.

The file ``clockmill.toml``, the environment, ``clockmill config list`` and the documentation are all made from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from clockmill.config.logs import remote_problem, storage_options_problem
from clockmill.config.options import Option, Source, described, option
from clockmill.config.workers import api_url_problem


def _secret_problem(secret: str) -> str | None:
    return "must have at least 16 characters." if 0 < len(secret) < 16 else None


def _json_problem(text: str) -> str | None:
    try:
        return None if isinstance(json.loads(text), dict) else "must be a JSON object."
    except ValueError:
        return "must be a JSON object."


@dataclass(frozen=True, kw_only=True)
class CoreSettings:
    """``[core]``: what every part needs."""

    dags_folder: Path = option(  # noqa: RUF009
        Path("dags"), "The folder of DAG files; a relative path is taken from the home.", default_text="HOME/dags"
    )
    executor: str = option(
        "local",
        "The executors, with commas between; the first runs the tasks that name none themselves. Each is a name, or "
        "NAME:MODULE:CLASS.",
    )
    parallelism: int = option(
        32, "How many tasks an executor runs at once whose section sets no slots.", minimum=1, maximum=10_000
    )
    max_tasks_per_process: int = option(
        1,
        "How many tasks of one DAG file a process may run, one after the other, where an executor forks processes; 1 "
        "gives each task a process of its own.",
        minimum=1,
        maximum=100_000,
    )
    dags_are_paused_at_creation: bool = option(False, "Whether a new DAG starts paused.")
    max_map_length: int = option(10_000, "The most instances of a mapped task or group.", minimum=1, maximum=1_000_000)
    max_xcom_bytes: int = option(1_048_576, "The largest XCom value.", unit="bytes", minimum=1, maximum=1 << 30)
    load_examples: bool = option(True, "Whether the example DAGs are shown as well.")
    crash_budget: int = option(
        3,
        "How often a task may be lost to a crash that is not its own doing before it fails.",
        minimum=0,
        maximum=1_000,
    )
    max_active_runs_per_dag: int = option(
        16, "The max_active_runs of DAGs that set none.", minimum=1, maximum=1_000_000
    )
    max_active_tasks_per_dag: int = option(
        16, "The max_active_tasks of DAGs that set none.", minimum=1, maximum=1_000_000
    )


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """``[database]``: where the metadata lives."""

    url: str = option(
        "",
        "The metadata database, as sqlite:////PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME.",
        default_text="HOME/clockmill.db (SQLite)",
        has_secret=True,
    )
    sqlite_synchronous: str = option(
        "FULL",
        "SQLite's synchronous pragma; NORMAL is faster and may lose the last moments when the power fails.",
        choices=("FULL", "NORMAL"),
    )
    pool_size: int = option(
        5,
        "How many connections each process keeps open; twice as many in a scheduler or web server on PostgreSQL.",
        minimum=1,
        maximum=1_000,
    )


@dataclass(frozen=True, kw_only=True)
class SchedulerSettings:
    """``[scheduler]``: the service that makes runs and hands out tasks."""

    max_sleep_seconds: float = option(
        5.0, "The longest wait between two looks at the database.", unit="seconds", minimum=0.01, maximum=60
    )
    orphan_grace_seconds: float = option(
        600.0,
        "How long running tasks go on while no scheduler is there, or the only one cannot reach PostgreSQL.",
        unit="seconds",
        minimum=0,
        maximum=604_800,
    )
    kill_grace_seconds: float = option(
        5.0, "The time between TERM and KILL when a task is stopped.", unit="seconds", minimum=0, maximum=3_600
    )
    callback_timeout_seconds: float = option(
        600.0,
        "How long a callback may take that has a process of its own.",
        unit="seconds",
        minimum=0.1,
        maximum=86_400,
    )
    prune_events_days: int = option(
        90, "How long events are kept, and the names of workers that are gone.", unit="days", minimum=1, maximum=36_500
    )


@dataclass(frozen=True, kw_only=True)
class TriggererSettings:
    """``[triggerer]``: the service that runs what deferred tasks wait for."""

    capacity: int = option(10_000, "How many triggers a triggerer runs at once.", minimum=1, maximum=1_000_000)


@dataclass(frozen=True, kw_only=True)
class WorkersSettings:
    """``[workers]``: programs on this or other machines that claim what is offered to them."""

    secret: str = option(
        "",
        "What workers prove themselves with, and messages to them; the same on all machines. A file of the home holds "
        "one where none is set.",
        default_text="what HOME/keys/workers.key holds",
        has_secret=True,
        problem=_secret_problem,
    )
    api_url: str = option(
        "",
        "The address of a web server with [webserver] execution_api, which the workers of this machine ask instead of "
        "the database; empty where they may ask that themselves.",
        default_text="none",
        problem=api_url_problem,
    )
    api_ca_file: str = option(
        "",
        "The certificates that an https server of the execution API is checked with.",
        default_text="those of the system",
    )

    keep_bundles: int = option(
        20,
        "How many snapshots of the DAG folder the machine of a worker keeps of those that nothing uses, the latest.",
        minimum=1,
        maximum=10_000,
    )
    beat_seconds: float = option(
        5.0,
        "How often a worker shows that it is alive, and hears what to stop.",
        unit="seconds",
        minimum=0.1,
        maximum=600,
    )
    lease_seconds: float = option(
        60.0,
        "How long a worker, or one of several machines with a scheduler, may be silent before its attempts are lost; "
        "one that cannot be heard ends its tasks before that.",
        unit="seconds",
        minimum=2,
        maximum=3_600,
    )


@dataclass(frozen=True, kw_only=True)
class CelerySettings:
    """``[celery]``: the broker of executors of the kind celery; ``[executor.NAME]`` may set it otherwise for one."""

    broker_url: str = option(
        "redis://127.0.0.1:6379/0",
        "The broker, as redis://:PASSWORD@HOST:PORT/DATABASE or amqp://USER:PASSWORD@HOST:PORT/VHOST; rediss:// and "
        "amqps:// with TLS.",
        has_secret=True,
    )
    transport_options: str = option(
        "{}", "Options of the transport, as a JSON object; kombu says which there are.", problem=_json_problem
    )
    queue_prefix: str = option(
        "clockmill", "How the names of queues begin, so that several installations can share a broker."
    )


@dataclass(frozen=True, kw_only=True)
class DagsSettings:
    """``[dags]``: finding and parsing DAG files."""

    reparse_interval_seconds: float = option(
        0.0,
        "Parse every file again this often, for files that read what lies outside the folder; 0 is never.",
        unit="seconds",
        minimum=0,
        maximum=604_800,
    )
    parse_timeout_seconds: float = option(
        30.0, "How long the import of one DAG file may take.", unit="seconds", minimum=0.1, maximum=3_600
    )
    parse_memory_mb: int = option(
        1_024, "How much memory the import of one DAG file may take.", unit="MiB", minimum=64, maximum=1_048_576
    )
    parse_processes: int = option(2, "How many files are parsed at once.", minimum=1, maximum=64)
    scan_interval_seconds: float = option(
        60.0,
        "How often the whole folder is looked through, beside watching it.",
        unit="seconds",
        minimum=0.1,
        maximum=86_400,
    )
    max_bundle_mb: int = option(256, "The largest DAG folder that is taken.", unit="MiB", minimum=1, maximum=1_048_576)
    max_document_mb: int = option(16, "The largest stored form of one DAG.", unit="MiB", minimum=1, maximum=1_024)


@dataclass(frozen=True, kw_only=True)
class WebserverSettings:
    """``[webserver]``: the web page."""

    host: str = option("127.0.0.1", "The address to listen on; 0.0.0.0 lets other machines in.")
    port: int = option(8080, "The port to listen on; 0 picks a free one.", minimum=0, maximum=65_535)
    threads: int = option(4, "How many requests are answered at once.", minimum=1, maximum=256)
    allowed_hosts: str = option(
        "",
        "The names under which browsers reach it, with commas between, such as that of a proxy before it; besides "
        "localhost, the name of the machine, and addresses in numbers.",
        default_text="none",
    )
    execution_api: bool = option(
        False, "Let workers that hold no credentials of the database ask the web server instead, below /execution."
    )
    secret_key_file: Path = option(  # noqa: RUF009
        Path("keys/web.key"),
        "The file of the key that signs sessions; a relative path is taken from the home.",
        default_text="HOME/keys/web.key",
    )


@dataclass(frozen=True, kw_only=True)
class LogsSettings:
    """``[logs]``: what tasks write, and where workers of other machines send it."""

    max_attempt_mb: int = option(
        1_024,
        "The largest log of one attempt; what a task writes beyond is dropped, and the task goes on.",
        unit="MiB",
        minimum=1,
        maximum=1_048_576,
    )
    remote: str = option(
        "",
        "Where workers send what their tasks write: api for the web server, or a store by its URL, such as "
        "s3://BUCKET/PREFIX; where it is nowhere, their machines keep it, in HOME/logs, which may be shared.",
        default_text="nowhere",
        problem=remote_problem,
    )
    storage_options: str = option(
        "",
        "Arguments for the library of that store, a JSON object.",
        default_text="what it finds in the environment",
        has_secret=True,
        problem=storage_options_problem,
    )


@dataclass(frozen=True, kw_only=True)
class LoggingSettings:
    """``[logging]``: what the services tell."""

    level: str = option(
        "INFO",
        "How much the services write to their log.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of one home, validated as a whole.

    :param home: the folder that everything of this installation lives in, absolute.
    :param executors: the sections ``[executor.NAME]`` as they stand; see :mod:`clockmill.config.executors`.
    :param sources: where the value of each option (``section.name``) comes from.
    """

    home: Path
    core: CoreSettings = field(default_factory=CoreSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    triggerer: TriggererSettings = field(default_factory=TriggererSettings)
    workers: WorkersSettings = field(default_factory=WorkersSettings)
    celery: CelerySettings = field(default_factory=CelerySettings)
    dags: DagsSettings = field(default_factory=DagsSettings)
    webserver: WebserverSettings = field(default_factory=WebserverSettings)
    logs: LogsSettings = field(default_factory=LogsSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    executors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    sources: Mapping[str, Source] = field(default_factory=dict, compare=False, repr=False)

    @property
    def default_executor(self) -> str:
        """The name of the executor for tasks that name none."""
        return self.executor_names[0]

    @property
    def executor_names(self) -> tuple[str, ...]:
        """The names of all executors, that for tasks that name none first."""
        return tuple(entry.partition(":")[0].strip() for entry in self.core.executor.split(","))

    @property
    def dags_folder(self) -> Path:
        """The folder of DAG files, absolute."""
        return self.home / self.core.dags_folder

    @property
    def secret_key_file(self) -> Path:
        """The file of the web server's key, absolute."""
        return self.home / self.webserver.secret_key_file

    @property
    def config_file(self) -> Path:
        """``clockmill.toml`` of the home."""
        return self.home / "clockmill.toml"

    @property
    def logs_folder(self) -> Path:
        """Where the logs of tasks and services are."""
        return self.home / "logs"

    @property
    def run_folder(self) -> Path:
        """Sockets and locks of running processes."""
        return self.home / "run"

    @property
    def bundles_folder(self) -> Path:
        """Snapshots of the DAG folder, materialised."""
        return self.home / "bundles"

    @property
    def keys_folder(self) -> Path:
        """The key files."""
        return self.home / "keys"

    @property
    def lock_file(self) -> Path:
        """Held by the one ``standalone`` of this home."""
        return self.home / "clockmill.lock"

    @property
    def database_url(self) -> str:
        """The URL of the metadata database."""
        return self.database.url or f"sqlite:///{self.home / 'clockmill.db'}"

    def value(self, which: Option) -> Any:
        """The value of one option."""
        return getattr(getattr(self, which.section), which.name)


SECTIONS: dict[str, type] = {
    "core": CoreSettings,
    "database": DatabaseSettings,
    "scheduler": SchedulerSettings,
    "triggerer": TriggererSettings,
    "workers": WorkersSettings,
    "celery": CelerySettings,
    "dags": DagsSettings,
    "webserver": WebserverSettings,
    "logs": LogsSettings,
    "logging": LoggingSettings,
}


def _table() -> tuple[Option, ...]:
    found = []
    for section, cls in SECTIONS.items():
        kinds = get_type_hints(cls)
        found += [described(section, declared, kinds[declared.name]) for declared in fields(cls)]
    return tuple(found)


OPTIONS: tuple[Option, ...] = _table()
