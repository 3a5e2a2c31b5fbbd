"""Triggerers over a real database, and tasks that wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from clockmill.config import Settings
from clockmill.storage import tables, triggers
from clockmill.storage.engine import Database
from clockmill.storage.triggers import NewTrigger
from clockmill.testing import FakeClock
from clockmill.triggerer.service import TriggererService
from tests.mill import SilentListener
from tests.triggerer import doors

BUNDLE = "b" * 64


@dataclass
class Yard:
    """A run with deferred tasks, and the triggerers that run what they wait for."""

    database: Database
    open_database: Callable[[], Database]
    rows: Any
    home: Path
    clock: FakeClock = field(default_factory=FakeClock)
    services: list[TriggererService] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.version = self.rows.dag("d")
        self.run = self.rows.run(self.version, "d", "r")
        self.settings(self.home)

    def settings(self, home: Path) -> Settings:
        settings = Settings(home=home)
        (settings.bundles_folder / BUNDLE).mkdir(parents=True, exist_ok=True)
        return settings

    def wait_for(self, kind: str, *names: str, **values: Any) -> None:
        """Let a task wait for each of these doors."""
        for name in names:
            trigger = NewTrigger(
                task_instance_id=self.rows.task(self.run, name, "deferred"),
                dag_run_id=self.run,
                class_path=f"tests.triggerer.doors.{kind}",
                kwargs=json.dumps({"name": name}),
                bundle=BUNDLE,
                file="f.py",
                pool="default_pool",
                pool_slots=1,
                created_at=self.clock.now(),
                timeout_at=None,
            )
            changed = NewTrigger(**{**{n: getattr(trigger, n) for n in trigger.__slots__}, **values})
            self.database.write(lambda c, changed=changed: triggers.insert_triggers(c, [changed]))

    def service(self, name: str = "t1", *, capacity: int = 100, home: Path | None = None) -> TriggererService:
        """A triggerer; call its ``run_once`` or ``run``."""
        database, settings = self.open_database(), self.settings(home or self.home)
        service = TriggererService(database, self.clock, settings, SilentListener(), capacity=capacity, name=name)
        self.services.append(service)
        return service

    def fired(self) -> dict[str, Any]:
        """What came of each trigger that fired, by task: the event, or the first line of the error."""
        statement = (
            select(tables.task_instance.c.task_id, tables.task_trigger.c.event, tables.task_trigger.c.error)
            .join(tables.task_instance, tables.task_instance.c.id == tables.task_trigger.c.task_instance_id)
            .where(tables.task_trigger.c.fired_at.is_not(None))
        )
        rows = self.database.read(lambda c: list(c.execute(statement)))
        return {name: error.partition("\n")[0] if error else json.loads(event) for name, event, error in rows}

    def trace(self, name: str) -> str:
        """The traceback of the error of a task's trigger."""
        statement = (
            select(tables.task_trigger.c.error)
            .join(tables.task_instance, tables.task_instance.c.id == tables.task_trigger.c.task_instance_id)
            .where(tables.task_instance.c.task_id == name)
        )
        return str(self.database.read(lambda c: c.execute(statement).scalar_one()).partition("\n")[2])

    def owners(self) -> dict[str, str | None]:
        """Who has the trigger of each task."""
        statement = select(tables.task_instance.c.task_id, tables.task_trigger.c.triggerer).join(
            tables.task_instance, tables.task_instance.c.id == tables.task_trigger.c.task_instance_id
        )
        return {row[0]: row[1] for row in self.database.read(lambda c: list(c.execute(statement)))}

    def drop(self, *names: str) -> None:
        """Let tasks wait no more."""
        statement = select(tables.task_instance.c.id).where(tables.task_instance.c.task_id.in_(names))
        self.database.write(lambda c: triggers.drop_triggers(c, list(c.execute(statement).scalars())))

    async def settle(self, service: TriggererService, passes: int = 6) -> None:
        """Let the triggers come as far as they can, and the triggerer take note, until nothing changes."""
        for _ in range(passes):
            await service.run_once()
            for _ in range(10):
                await asyncio.sleep(0)
            # What is loaded in the other thread comes back through the loop.
            await asyncio.get_running_loop().run_in_executor(service._loader, lambda: None)


@pytest.fixture
def yard(database: Database, open_database: Callable[[], Database], rows: Any, tmp_path: Path) -> Iterator[Yard]:
    doors.world.__init__()  # type: ignore[misc]
    yard = Yard(database, open_database, rows, tmp_path / "home")
    yield yard
    for service in yard.services:
        service.close()
