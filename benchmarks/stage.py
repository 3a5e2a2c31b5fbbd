"""A home of its own with the real ``clockmill standalone`` in it, on SQLite or on a real PostgreSQL server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from clockmill.state import FINISHED_RUN_STATES
from clockmill.storage.engine import Database
from clockmill.storage.tables import attempt, dag, dag_run, task_instance
from clockmill.testing.servers import postgres_server

READY_SECONDS = 60.0
POLL_SECONDS = 0.1

#: Commits must reach the disk, as they do in earnest.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
DATABASES = ("sqlite", "postgres")


class Stage:
    """One home folder, with a DAG folder to write files into.

    :param home: an empty folder.
    :param database_url: empty for the embedded SQLite file.
    """

    def __init__(self, home: Path, database_url: str = "", settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.dags = home / "dags"
        self.dags.mkdir(parents=True)
        self.environment = {**os.environ, "CLOCKMILL_HOME": str(home), **(settings or {})}
        if database_url:
            self.environment["CLOCKMILL__DATABASE__URL"] = database_url
        self.database_url = database_url or f"sqlite:///{home / 'clockmill.db'}"
        if database_url:
            self.cli("db", "migrate")

    def add_dag(self, name: str, source: str) -> Path:
        """Write a DAG file, whole at once."""
        path = self.dags / f"{name}.py"
        draft = path.with_suffix(".draft")
        draft.write_text(source)
        return draft.replace(path)

    def cli(self, *arguments: str) -> str:
        """What a command prints.

        :raises RuntimeError: when it fails.
        """
        command = [sys.executable, "-m", "clockmill", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"clockmill {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def trigger(self, dag_id: str) -> str:
        """Trigger a run; returns its id."""
        answer = json.loads(self.cli("dags", "trigger", dag_id, "--output", "json"))
        run = answer[0] if isinstance(answer, list) else answer
        return str(run["run_id"])

    @contextmanager
    def standalone(self, *arguments: str) -> Iterator[Standalone]:
        """The running program; stopped afterwards."""
        program = Standalone(self.environment, self.home, arguments)
        try:
            program.await_ready()
            yield program
        finally:
            program.stop()

    @contextmanager
    def rows(self) -> Iterator[Database]:
        """The metadata database, to look at."""
        database = Database(self.database_url)
        try:
            yield database
        finally:
            database.close()


class Standalone:
    """A ``clockmill standalone`` that runs."""

    def __init__(self, environment: Mapping[str, str], home: Path, arguments: tuple[str, ...]) -> None:
        self.started = time.monotonic()
        self._log = (home / "standalone.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clockmill", "standalone", "--port", "0", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.address = ""

    def await_ready(self) -> None:
        """Wait for the line that tells the address.

        :raises RuntimeError: when the program ends instead.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready "):
                self.address = line.split()[1]
                return
        self._log.seek(0)
        raise RuntimeError(f"standalone did not become ready: {self._log.read()[-2000:]}")

    def await_healthy(self) -> float:
        """Seconds from the start of the command to the first 200 of /health.

        :raises TimeoutError: when it is not healthy within a minute.
        """
        deadline = self.started + READY_SECONDS
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                    if answer.status == 200:
                        return time.monotonic() - self.started
            except OSError:
                pass
            time.sleep(0.005)
        raise TimeoutError("standalone did not become healthy")

    def stop(self) -> None:
        """Stop it, gently at first."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


@contextmanager
def stage(database: str, settings: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """A fresh home on ``sqlite`` or ``postgres``, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="clockmill-bench-") as folder:
        home = Path(folder) / "home"
        if database == "sqlite":
            yield Stage(home, settings=settings)
        else:
            with postgres_server(DURABLE) as server:
                yield Stage(home, server.url(), settings)


def await_dag(database: Database, dag_id: str, seconds: float = 30.0) -> None:
    """Wait until a DAG is known.

    :raises TimeoutError: when it is not within ``seconds``.
    """
    wanted = select(dag.c.dag_id).where(dag.c.dag_id == dag_id, dag.c.version_id.is_not(None))
    _await(lambda c: c.execute(wanted).first() is not None, database, seconds, f"DAG {dag_id} to be parsed")


def await_runs(database: Database, dag_id: str, count: int, seconds: float) -> None:
    """Wait until a DAG has ``count`` finished runs, and none of them failed.

    :raises RuntimeError: when one failed.
    :raises TimeoutError: when they are not finished within ``seconds``.
    """
    states = select(dag_run.c.state).where(dag_run.c.dag_id == dag_id)

    def finished(connection: Connection) -> bool:
        found = [row.state for row in connection.execute(states)]
        if "failed" in found:
            raise RuntimeError(f"a run of {dag_id} failed")
        return sum(state in FINISHED_RUN_STATES for state in found) >= count

    _await(finished, database, seconds, f"{count} runs of {dag_id}")


def _await(condition: Any, database: Database, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not database.read(condition):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(POLL_SECONDS)


def attempts_of(database: Database, dag_id: str, run_id: str | None = None) -> list[Any]:
    """``task_id started_at ended_at`` of each successful attempt, in the order of their start."""
    statement = (
        select(task_instance.c.task_id, attempt.c.started_at, attempt.c.ended_at, attempt.c.cpu_seconds)
        .join_from(attempt, task_instance, attempt.c.task_instance_id == task_instance.c.id)
        .join(dag_run, dag_run.c.id == attempt.c.dag_run_id)
        .where(dag_run.c.dag_id == dag_id, attempt.c.state == "success")
        .order_by(attempt.c.started_at)
    )
    if run_id is not None:
        statement = statement.where(dag_run.c.run_id == run_id)
    return list(database.read(lambda c: c.execute(statement).all()))
