"""DAG files: 1,000 small ones parsed for the first time, a pass with nothing changed, an edit and a new file seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from benchmarks.figures import Figure
from benchmarks.stage import Stage, stage
from clockmill import config
from clockmill.clock import SystemClock
from clockmill.migrations import runner
from clockmill.parsing import DagProcessor
from clockmill.storage.engine import Database

FILES = 1_000
_QUIET_PASSES = 5
_EDITS = 5
_PATIENCE = 30.0
_SETTLE = 2.5

_SOURCE = """
from datetime import datetime
from clockmill import DAG
from clockmill.operators.bash import BashOperator
from clockmill.operators.python import PythonOperator


def hello():
    print("hello")


with DAG("{name}", schedule="{minute} * * * *", start_date=datetime(2024, 1, 1), tags=["parse"]) as dag:
    first = BashOperator(task_id="first", bash_command="echo {{{{ ds }}}}")
    second = PythonOperator(task_id="second", python_callable=hello)
    first >> second
"""


def source(name: str, number: int) -> str:
    """The text of a small DAG file."""
    return _SOURCE.format(name=name, minute=number % 60)


@contextmanager
def processor(theatre: Stage) -> Iterator[tuple[DagProcessor, Database]]:
    """The service over the home of a stage, with its database; nothing else runs."""
    db = Database(theatre.database_url)
    if db.is_sqlite:
        runner.upgrade(db)
    settings = config.load(theatre.home, {"core.load_examples": "false", "database.url": theatre.database_url}, {})
    service = DagProcessor(db, SystemClock(), settings)
    try:
        yield service, db
    finally:
        service.close()
        db.close()


def first_parse_seconds(service: DagProcessor) -> float:
    """Seconds of the pass that finds all files new: snapshot, parse, store."""
    start = time.perf_counter()
    service.run_once()
    return time.perf_counter() - start


def quiet_pass_cpu_seconds(service: DagProcessor) -> float:
    """CPU seconds of a full pass with nothing changed, the mean of a few."""
    start = time.process_time()
    for _ in range(_QUIET_PASSES):
        service.run_once()
    return (time.process_time() - start) / _QUIET_PASSES


def seconds_to_see(folder: Path, db: Database, service: DagProcessor) -> tuple[list[float], list[float]]:
    """Seconds from saving a file to reading its DAG version in the database: of edits, and of new files."""
    stop = threading.Event()
    thread = threading.Thread(target=service.run, args=(stop,))
    thread.start()
    try:
        time.sleep(_SETTLE)  # the watcher is up and the full looks at the start are over
        edits, new = [], []
        for number in range(_EDITS):
            edits.append(_until_seen(db, lambda n=number: _save(folder / "dag_0000.py", source("dag_0000", n + 1))))
            new.append(_until_seen(db, lambda n=number: _save(folder / f"new_{n}.py", source(f"new_{n}", n))))
    finally:
        stop.set()
        thread.join()
    return edits, new


def _save(path: Path, content: str) -> None:
    path.write_text(content)


def _until_seen(db: Database, save: Callable[[], None]) -> float:
    newest = "SELECT max(id) FROM dag_version"
    before = db.read(lambda c: c.execute(text(newest)).scalar_one())
    save()
    start = time.perf_counter()
    while db.read(lambda c: c.execute(text(newest)).scalar_one()) == before:
        if time.perf_counter() - start > _PATIENCE:
            raise TimeoutError("a saved file was not seen")
        time.sleep(0.005)
    return time.perf_counter() - start


def run(database: str, runs: int) -> list[Figure]:
    """Measure ``runs`` times, each in a home of its own."""
    first, quiet, edits, new = [], [], [], []
    for _ in range(runs):
        with stage(database) as theatre:
            for number in range(FILES):
                name = f"dag_{number:04}"
                _save(theatre.dags / f"{name}.py", source(name, number))
            with processor(theatre) as (service, db):
                first.append(first_parse_seconds(service))
                quiet.append(quiet_pass_cpu_seconds(service))
                seen = seconds_to_see(theatre.dags, db, service)
                edits += seen[0]
                new += seen[1]
    return [
        Figure(name=f"first parse of {FILES} small files", unit="s", values=first),
        Figure(name="per file", unit="ms", values=[seconds / FILES * 1000 for seconds in first]),
        Figure(name="pass with nothing changed, CPU", unit="s", values=quiet),
        Figure(name="edit visible", unit="s", values=edits),
        Figure(name="new file visible", unit="s", values=new),
    ]
