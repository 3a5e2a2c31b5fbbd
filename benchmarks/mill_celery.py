"""Clockmill's Celery executor: a standalone that offers, and a worker of its own program that claims and runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import fanout
from benchmarks.bare_celery import PROCESSES
from benchmarks.stage import Stage, attempts_of, await_dag, await_runs, stage
from clockmill.storage.engine import Database

_RUN_SECONDS = 600.0


class MillCelery:
    """A running standalone with a worker beside it."""

    def __init__(self, theatre: Stage, rows: Database) -> None:
        self._theatre = theatre
        self._rows = rows
        self._runs = 0

    def rate(self, tasks: int) -> float:
        """Run a DAG of so many tasks; tasks per second from the first start to the last end."""
        if not self._runs:
            self._theatre.add_dag("fanout", fanout.SOURCE.format(tasks=tasks))
            await_dag(self._rows, "fanout")
        run_id = self._theatre.trigger("fanout")
        self._runs += 1
        await_runs(self._rows, "fanout", self._runs, _RUN_SECONDS)
        done = attempts_of(self._rows, "fanout", run_id)
        if len(done) != tasks:
            raise RuntimeError(f"{len(done)} of {tasks} tasks succeeded")
        return tasks / (max(row.ended_at for row in done) - min(row.started_at for row in done)).total_seconds()


@contextmanager
def mill_celery(broker_url: str, database: str, *, tasks_per_process: int = 1) -> Iterator[MillCelery]:
    """As many task processes as bare Celery has, by the same broker.

    :param broker_url: a broker that nobody else uses.
    :param database: ``sqlite`` or ``postgres``.
    :param tasks_per_process: how many tasks a process serves.
    """
    settings = {
        "CLOCKMILL__CORE__EXECUTOR": "celery",
        "CLOCKMILL__CELERY__BROKER_URL": broker_url,
        "CLOCKMILL__CORE__MAX_TASKS_PER_PROCESS": str(tasks_per_process),
    }
    with stage(database, settings) as theatre, theatre.standalone("--no-examples"), theatre.rows() as rows:
        command = [sys.executable, "-m", "clockmill", "celery", "worker", "--concurrency", str(PROCESSES)]
        with (theatre.home / "worker.log").open("wb") as log:
            worker = subprocess.Popen(command, env=theatre.environment, stdout=log, stderr=log)
        try:
            yield MillCelery(theatre, rows)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait()
