"""A scheduler over a real database, with a fake clock and an executor that does what the test says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from clockmill import DAG
from clockmill.actions.change import Preview, Request, apply, preview
from clockmill.actions.clear import Clear
from clockmill.actions.selection import RunSelection, TaskSelection
from clockmill.actions.trigger import trigger_run
from clockmill.config import Settings
from clockmill.scheduler.service import SchedulerService
from clockmill.serde import dumps, encode
from clockmill.state import RunState, TaskState
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.storage.runs import find_run, load_tasks
from clockmill.storage.wakeup import Call, WakeListener
from clockmill.testing.clock import FakeClock
from clockmill.testing.executor import ScriptedExecutor
from clockmill.timetables import Schedule, first_tick


class SilentListener:
    """Nobody calls; a test says itself when the scheduler looks. What it calls out is kept."""

    def __init__(self) -> None:
        self.called = True
        self.said: list[Call] = []

    def filenos(self) -> list[int]:
        return []

    def drain(self) -> Call:
        called, self.called = self.called, False
        return Call.NEWS if called else Call.NONE

    def call_others(self, call: Call) -> None:
        self.said.append(call)

    def close(self) -> None:
        self.called = False


@dataclass
class Mill:
    """One or more schedulers over one database."""

    db: Database
    clock: FakeClock
    settings: Settings
    executor: ScriptedExecutor
    open_database: Callable[[], Database]
    service: SchedulerService = field(init=False)
    listener: SilentListener = field(default_factory=SilentListener)
    services: list[SchedulerService] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin again as after a crash: nothing in memory, the same executor."""
        self.service = self.another(self.executor)

    def another(
        self, executor: ScriptedExecutor, *, name: str | None = None, listener: WakeListener | None = None
    ) -> SchedulerService:
        """One more scheduler on the same database.

        :param name: by which other schedulers tell it from themselves.
        :param listener: one that hears and is heard; None for one that does neither.
        """
        if listener is None:
            listener = self.listener = SilentListener()
        service = SchedulerService(
            self.open_database(), self.clock, self.settings, {"scripted": executor}, listener, instance=name
        )
        service.start()
        self.services.append(service)
        return service

    def add(self, dag: DAG, *, paused: bool = False) -> None:
        """Store a DAG as the parser would."""
        document = encode(dag)
        text = dumps(document)
        schedule = Schedule(dag.timetable, dag.start_date, dag.end_date)
        tick = first_tick(schedule, catchup=dag.catchup, seen_at=self.clock.now())
        now = self.clock.now()
        with self.db.engine.begin() as c:
            c.execute(
                insert(tables.dag).values(
                    dag_id=dag.dag_id,
                    file="f.py",
                    tags=[],
                    is_paused=paused,
                    schedule=document["schedule"],
                    overlap=document["overlap"],
                    max_active_runs=dag.max_active_runs or 16,
                    max_active_tasks=dag.max_active_tasks or 16,
                    max_consecutive_failed=dag.max_consecutive_failed_dag_runs,
                    created_at=now,
                    next_tick=tick and tick.to_dict(),
                    next_run_after=tick.run_after if tick else None,
                )
            )
            self._add_version(c, dag.dag_id, text, 1)

    def release(self, dag: DAG, number: int = 2) -> None:
        """Store a newer version of a DAG as the parser would."""
        with self.db.engine.begin() as c:
            self._add_version(c, dag.dag_id, dumps(encode(dag)), number)

    def _add_version(self, connection: Any, dag_id: str, text: str, number: int) -> None:
        digest, now = hashlib.sha256(f"{number} {text}".encode()).hexdigest(), self.clock.now()
        bundle = connection.execute(
            insert(tables.bundle)
            .values(hash=digest, manifest={}, size_bytes=0, created_at=now)
            .returning(tables.bundle.c.id)
        ).scalar_one()
        values: dict[str, Any] = {"document": text, "document_hash": digest, "code_hash": digest, "file": "f.py"}
        version = connection.execute(
            insert(tables.dag_version)
            .values(dag_id=dag_id, number=number, bundle_id=bundle, created_at=now, **values)
            .returning(tables.dag_version.c.id)
        ).scalar_one()
        connection.execute(update(tables.dag).where(tables.dag.c.dag_id == dag_id).values(version_id=version))

    def trigger(self, dag_id: str, run_id: str = "r1", **kwargs: Any) -> None:
        """Trigger a run by hand and let the scheduler see it."""
        trigger_run(self.db, self.clock, dag_id, actor="test", run_id=run_id, **kwargs)
        self.pump()

    def change(self, request: Request) -> Preview:
        """Do what a person asks for, as its preview shows it, and let the scheduler see it; returns the preview."""
        shown: Preview = self.db.read(lambda c: preview(c, request))
        apply(self.db, self.clock, request, fingerprint=shown.fingerprint, actor="test")
        self.pump()
        return shown

    def clear(self, dag_id: str, *task_ids: str, run_id: str = "r1", downstream: bool = True, **which: bool) -> Preview:
        """Clear tasks of a run, or all of them, and let the scheduler see it."""
        tasks = TaskSelection(names=tuple((each, None) for each in task_ids), downstream=downstream, **which)
        return self.change(Clear(runs=RunSelection(dag_id=dag_id, run_ids=(run_id,)), tasks=tasks))

    def pump(self) -> None:
        """Let the scheduler work until it has nothing more to do."""
        self.listener.called = True
        for _ in range(200):
            if not self.service.run_once() and not self.executor.has_news:
                return
        raise AssertionError("the scheduler does not come to rest")

    def pass_time(self, **length: float) -> None:
        """Let time pass, then let the scheduler work."""
        self.clock.advance(timedelta(**length).total_seconds())
        self.pump()

    def finish(self, task_id: str, outcome: str = "success", **report: Any) -> None:
        """End a task and let the scheduler see it."""
        self.executor.finish(task_id, outcome, **report)
        self.pump()

    def states(self, dag_id: str, run_id: str = "r1") -> dict[str, TaskState]:
        """The state of each task of a run."""
        return {row.task_id: row.state for row in self.rows(dag_id, run_id)}

    def rows(self, dag_id: str, run_id: str = "r1") -> Any:
        def read(connection: Any) -> Any:
            run = find_run(connection, dag_id, run_id)
            assert run is not None, f"there is no run {run_id}"
            return load_tasks(connection, run.id)

        return self.db.read(read)

    def row(self, dag_id: str, task_id: str, run_id: str = "r1") -> Any:
        return next(row for row in self.rows(dag_id, run_id) if row.task_id == task_id)

    def run(self, dag_id: str, run_id: str = "r1") -> Any:
        return self.db.read(lambda c: find_run(c, dag_id, run_id))

    def run_state(self, dag_id: str, run_id: str = "r1") -> RunState:
        state: RunState = self.run(dag_id, run_id).state
        return state

    def runs(self, dag_id: str) -> list[Any]:
        """Every run of a DAG, oldest first."""
        statement = (
            select(tables.dag_run.c.run_id, tables.dag_run.c.state, tables.dag_run.c.logical_date)
            .where(tables.dag_run.c.dag_id == dag_id)
            .order_by(tables.dag_run.c.logical_date)
        )
        return self.db.read(lambda c: list(c.execute(statement)))

    def events(self, kind: str) -> list[Any]:
        statement = select(tables.event).where(tables.event.c.kind == kind).order_by(tables.event.c.id)
        return self.db.read(lambda c: list(c.execute(statement)))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))


@pytest.fixture
def mill(database: Database, open_database: Callable[[], Database], tmp_path: Path, clock: FakeClock) -> Iterator[Mill]:
    mill = Mill(
        db=database,
        clock=clock,
        settings=Settings(home=tmp_path),
        executor=ScriptedExecutor(clock),
        open_database=open_database,
    )
    yield mill
    for service in mill.services:
        service.close()
