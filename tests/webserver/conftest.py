"""A site over a database with rows put in by hand, a clock that stands still, and actions that only take notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, insert, update

from clockmill import DAG, Param
from clockmill.actions import change
from clockmill.actions.backfill import BackfillPreview, BackfillRequest, preview_backfill
from clockmill.actions.change import Preview, Request
from clockmill.errors import Conflict
from clockmill.events import Event, EventKind
from clockmill.logs.tasklogs import TaskLogs
from clockmill.operators.empty import EmptyOperator
from clockmill.serde import dumps, encode
from clockmill.storage import events, tables
from clockmill.storage.engine import Database
from clockmill.storage.pools import Pool
from clockmill.webserver.app import create_app
from clockmill.webserver.hooks import TriggeredRun
from clockmill.webserver.site import WebOptions

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


class StoppedClock:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class NotedActions:
    """Writes down what it is asked to do."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    refusal: Exception | None = None
    database: Database | None = None

    def trigger(
        self,
        dag_id: str,
        *,
        conf: dict[str, Any],
        run_id: str | None,
        note: str = "",
        logical_date: datetime | None = None,
    ) -> TriggeredRun:
        if self.refusal:
            raise self.refusal
        self.calls.append(("trigger", dag_id, conf, run_id))
        return TriggeredRun(run_id=run_id or "manual__2026-01-31T12:00:00+00:00", created=True)

    def write_note(self, dag_id: str, run_id: str, note: str) -> None:
        self.calls.append(("write_note", dag_id, run_id, note))

    def set_paused(self, dag_id: str, paused: bool) -> None:
        self.calls.append(("set_paused", dag_id, paused))

    def preview(self, wanted: Request) -> Preview:
        assert self.database is not None
        return self.database.read(lambda connection: change.preview(connection, wanted))

    def change(self, wanted: Request, fingerprint: str) -> Preview:
        shown = self.preview(wanted)
        if shown.fingerprint != fingerprint:
            raise Conflict("Something changed in between.")
        self.calls.append(("change", wanted))
        return shown

    def preview_backfill(self, wanted: BackfillRequest) -> BackfillPreview:
        assert self.database is not None
        return self.database.read(lambda connection: preview_backfill(connection, wanted, NOW))

    def create_backfill(self, wanted: BackfillRequest) -> int:
        self.calls.append(("create_backfill", wanted))
        return 1

    def pause_backfill(self, ident: int) -> None:
        self.calls.append(("pause_backfill", ident))

    def resume_backfill(self, ident: int, *, rerun_failed: bool) -> None:
        self.calls.append(("resume_backfill", ident, rerun_failed))

    def cancel_backfill(self, ident: int) -> None:
        self.calls.append(("cancel_backfill", ident))

    def set_pool(self, changed: Pool) -> None:
        self.calls.append(("set_pool", changed))


class Seed:
    """Puts rows into the tables as the other services would."""

    def __init__(self, database: Database, logs: Path) -> None:
        self._database = database
        self._logs = logs

    def _insert(self, table: Any, **values: Any) -> Any:
        def work(connection: Connection) -> Any:
            return connection.execute(insert(table).values(**values)).inserted_primary_key

        return self._database.write(work)

    def component(self, name: str, *, ago: float = 1, period: float = 5) -> None:
        self._insert(
            tables.component,
            name=name,
            instance=f"{name}-{ago}",
            host="here",
            pid=1,
            last_loop=NOW - timedelta(seconds=ago),
            period_seconds=period,
        )

    def worker(self, ident: str, *, ago: float = 1, **values: Any) -> None:
        defaults: dict[str, Any] = {"executor": "celery", "host": "near", "boot_id": "b", "pid": 7, "slots": 4}
        defaults |= {"epoch": 0, "queues": ["default"], "version": "1.2", "gateway": "database"}
        moments = {"started_at": NOW - timedelta(days=2), "seen_at": NOW - timedelta(seconds=ago)}
        self._insert(tables.supervisor, id=ident, **(defaults | moments | values))

    def dag(
        self,
        dag_id: str = "weather",
        tasks: Mapping[str, Sequence[str]] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        built: DAG | None = None,
        **values: Any,
    ) -> None:
        defaults = {"file": f"{dag_id}.py", "tags": [], "schedule": "0 6 * * *", "created_at": NOW}
        self._insert(tables.dag, dag_id=dag_id, **{**defaults, **values})
        bundle = self._insert(tables.bundle, hash=f"b-{dag_id}", manifest={}, size_bytes=1, created_at=NOW)[0]
        version = self._insert(
            tables.dag_version,
            dag_id=dag_id,
            number=1,
            document=dumps(encode(built)) if built else document(dag_id, tasks or {}, params),
            document_hash="d",
            code_hash="c",
            bundle_id=bundle,
            file=f"{dag_id}.py",
            created_at=NOW - timedelta(hours=5),
        )[0]
        point = update(tables.dag).where(tables.dag.c.dag_id == dag_id).values(version_id=version)
        self._database.write(lambda connection: connection.execute(point))

    def run(self, dag_id: str, run_id: str, state: str = "success", *, ago: float = 60, **values: Any) -> int:
        start = NOW - timedelta(seconds=ago)
        version = self._database.read(
            lambda c: c.execute(
                tables.dag.select().with_only_columns(tables.dag.c.version_id).where(tables.dag.c.dag_id == dag_id)
            ).scalar_one()
        )
        defaults: dict[str, Any] = {
            "version_id": version,
            "run_type": "scheduled",
            "run_after": start,
            "conf": {},
            "queued_at": start,
            "start_date": None if state == "queued" else start,
            "end_date": start + timedelta(seconds=12) if state in {"success", "failed"} else None,
        }
        return int(self._insert(tables.dag_run, dag_id=dag_id, run_id=run_id, state=state, **{**defaults, **values})[0])

    def backfill(self, dag_id: str = "weather", state: str = "running", **values: Any) -> int:
        defaults: dict[str, Any] = {
            "from_date": NOW - timedelta(days=30),
            "to_date": NOW - timedelta(days=1),
            "is_settled": True,
            "conf": {},
            "created_at": NOW - timedelta(hours=1),
            "created_by": "ada",
        }
        return int(self._insert(tables.backfill, dag_id=dag_id, state=state, **{**defaults, **values})[0])

    def callback(self, run: int, kind: str = "on_failure_callback", state: str = "pending", **values: Any) -> int:
        defaults: dict[str, Any] = {"context": {}, "created_at": NOW - timedelta(seconds=3)}
        ended = None if state == "pending" else NOW
        made = self._insert(
            tables.callback, dag_run_id=run, kind=kind, state=state, ended_at=ended, **defaults, **values
        )
        return int(made[0])

    def wait(
        self, run: int, task: int, class_path: str = "clockmill.triggers.times.DateTimeTrigger", **values: Any
    ) -> None:
        defaults: dict[str, Any] = {"kwargs": "{}", "bundle": "b", "file": "f", "pool": "default_pool", "pool_slots": 1}
        started = {"created_at": NOW - timedelta(minutes=5)}
        self._insert(
            tables.task_trigger,
            task_instance_id=task,
            dag_run_id=run,
            class_path=class_path,
            **{**defaults, **started, **values},
        )

    def pool(self, name: str, slots: int, **values: Any) -> None:
        self._insert(tables.pool, name=name, slots=slots, **values)

    def task(self, run: int, task_id: str, state: str = "success", **values: Any) -> int:
        return int(self._insert(tables.task_instance, dag_run_id=run, task_id=task_id, state=state, **values)[0])

    def attempt(self, run: int, task: int, try_number: int = 1, state: str = "success", **values: Any) -> None:
        is_over = state not in {"queued", "running", "stopping"}
        defaults = {
            "id": f"{task:016x}{try_number:016x}",
            "token": "secret-token-of-the-attempt",
            "executor": "local",
            "pool": "default_pool",
            "pool_slots": 1,
            "queued_at": NOW,
            "started_at": NOW,
            "ended_at": NOW + timedelta(seconds=2) if is_over else None,
        }
        self._insert(
            tables.attempt,
            task_instance_id=task,
            dag_run_id=run,
            try_number=try_number,
            state=state,
            **{**defaults, **values},
        )

    def deadline(self, run: int, name: str, due_at: datetime, **values: Any) -> None:
        self._insert(tables.deadline, dag_run_id=run, name=name, position=0, due_at=due_at, **values)

    def xcom(self, run: int, task: int, key: str, value: str) -> None:
        self._insert(
            tables.xcom,
            dag_run_id=run,
            task_instance_id=task,
            task_id="extract",
            try_number=1,
            key=key,
            value=value,
            created_at=NOW,
        )

    def event(self, dag_id: str, run_id: str, kind: EventKind, **detail: Any) -> None:
        made = Event(kind=kind, at=NOW, actor="scheduler", dag_id=dag_id, run_id=run_id, detail=detail)
        self._database.write(lambda connection: events.append(connection, [made]))

    def import_error(self, file: str, message: str, **values: Any) -> None:
        self._insert(tables.import_error, file=file, message=message, created_at=NOW, **values)

    def log(self, dag_id: str, run_id: str, task_id: str, text: str, *, map_index: int = -1, number: int = 1) -> Path:
        path = self._logs / dag_id / run_id / task_id / str(map_index) / f"{number}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", newline="") as file:
            file.write(text)
        return path


def document(dag_id: str, tasks: Mapping[str, Sequence[str]], params: Mapping[str, Any] | None = None) -> str:
    """The document of a DAG with these tasks and what is upstream of each."""
    known = params or {"station": Param("SEA", description="Which station")}
    dag = DAG(dag_id, schedule="0 6 * * *", params=known, auto_register=False)
    made = {task_id: EmptyOperator(task_id=task_id, dag=dag) for task_id in tasks}
    for task_id, upstream in tasks.items():
        for above in upstream:
            made[above] >> made[task_id]
    return dumps(encode(dag))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The folder of the task logs."""
    return tmp_path / "logs"


@pytest.fixture
def seed(database: Database, logs: Path) -> Seed:
    """Puts rows into the database of this test."""
    return Seed(database, logs)


@pytest.fixture
def clock() -> StoppedClock:
    """The clock that the pages read."""
    return StoppedClock()


@pytest.fixture
def noted(database: Database) -> NotedActions:
    """What the buttons asked for."""
    return NotedActions(database=database)


@pytest.fixture
def app(database: Database, clock: StoppedClock, noted: NotedActions, logs: Path) -> Flask:
    """The application under test."""
    options = WebOptions(secret_key=b"k" * 32, logs=TaskLogs(logs), dags_folder=Path("/home/ada/dags"))
    return create_app(database, options, clock=clock, actions_hook=noted)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without JavaScript."""
    return app.test_client()
