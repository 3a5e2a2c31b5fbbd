"""What every view of one application shares: the database, the clock, the actions, and what was configured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, current_app

from clockmill.clock import Clock
from clockmill.config.settings import WorkersSettings
from clockmill.logs.tasklogs import TaskLogs
from clockmill.storage.components import ALWAYS_THERE, ComponentRow, list_components
from clockmill.storage.triggers import anything_waits
from clockmill.webserver.documents import Documents
from clockmill.webserver.hooks import Actions

if TYPE_CHECKING:
    from clockmill.storage.engine import Database

_EXTENSION = "clockmill"
#: The row id in an address, no larger than a database takes.
ROW_ID = f"int(max={2**63 - 1}):ident"


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """What the pages need of the settings.

    :param secret_key: signs session cookies; see :func:`clockmill.host.keys.load_or_make_key`.
    :param dags_folder: named where there is no DAG yet.
    :param allowed_hosts: host names, without a port, that requests may use besides ``localhost`` and addresses in
        numbers.
    :param default_executor: the name of the one for tasks that name none.
    :param executors: the names of all that the settings name.
    :param workers: how often workers show themselves.
    :param components: services without which ``/health`` is not healthy, also before their first loop.
    """

    secret_key: bytes
    logs: TaskLogs
    dags_folder: Path
    allowed_hosts: frozenset[str] = frozenset()
    default_executor: str = ""
    executors: tuple[str, ...] = ()
    workers: WorkersSettings = field(default_factory=WorkersSettings)
    components: tuple[str, ...] = ALWAYS_THERE


@dataclass(frozen=True, slots=True)
class Instance:
    """How one process of a service does, as ``HOST:PID:RANDOM``."""

    name: str
    is_healthy: bool
    last_loop: datetime


@dataclass(frozen=True, slots=True)
class Health:
    """How one service does: well when one of its instances does."""

    name: str
    is_healthy: bool
    last_loop: datetime | None
    instances: tuple[Instance, ...] = ()

    @property
    def healthy_instances(self) -> int:
        """How many of them go round."""
        return sum(each.is_healthy for each in self.instances)


@dataclass(frozen=True, kw_only=True)
class Site:
    """The state of one application; no view keeps any of its own."""

    database: Database
    clock: Clock
    actions: Actions
    options: WebOptions
    documents: Documents

    def health(self) -> list[Health]:
        """Every service that reported or should have, by name; a triggerer should when a task waits for one.

        :raises DatabaseError: when the database cannot be asked.
        """
        found, waits = self.database.read(lambda connection: (list_components(connection), anything_waits(connection)))
        required = (*self.options.components, "triggerer") if waits else self.options.components
        return _judge(found, required, self.clock.now())


def install(app: Flask, site: Site) -> None:
    """Make ``site`` what :func:`current_site` gives to the views of ``app``."""
    app.extensions[_EXTENSION] = site


def current_site() -> Site:
    """The state of the application that answers this request."""
    site = current_app.extensions[_EXTENSION]
    assert isinstance(site, Site)
    return site


def _judge(found: Sequence[ComponentRow], required: Sequence[str], now: datetime) -> list[Health]:
    """Of several instances of a service, one that goes round is enough: the newest loop counts."""
    by_name: dict[str, list[Instance]] = {}
    for row in found:
        by_name.setdefault(row.name, []).append(Instance(row.instance, row.is_recent(now), row.last_loop))
    known = {name: _health(name, instances) for name, instances in by_name.items()}
    for name in required:
        known.setdefault(name, Health(name, False, None))
    return [known[name] for name in sorted(known)]


def _health(name: str, instances: list[Instance]) -> Health:
    newest = max(instances, key=lambda each: each.last_loop)
    return Health(name, newest.is_healthy, newest.last_loop, tuple(instances))
