"""The running service: told by the kernel, safe without, ready to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clockmill.clock import SystemClock
from clockmill.parsing import DagProcessor
from clockmill.parsing.watch import Watcher
from clockmill.storage.engine import Database, DatabaseUnavailable

Source = Callable[..., str]


@contextmanager
def running(station: Any) -> Iterator[Callable[[], None]]:
    """The service in a thread; gives a function that waits for the next commit that a scheduler is told of."""
    told = threading.Semaphore(0)
    stop = threading.Event()
    processor = DagProcessor(station.db, SystemClock(), station.settings(), wake_scheduler=told.release)
    thread = threading.Thread(target=processor.run, args=(stop,))
    thread.start()

    def wait() -> None:
        assert told.acquire(timeout=60), "no scheduler was called"

    try:
        yield wait
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def test_new_edited_and_removed_files_are_seen_while_it_runs(station: Any, dag_source: Source) -> None:
    station.write("first.py", dag_source("first"))
    with running(station) as wait:
        wait()
        path = station.write("second.py", dag_source("second"))
        wait()
        assert station.active() == ["first", "second"]
        path.write_text(dag_source("second") + "# an edit\n")
        wait()
        assert station.versions("second") == 2
        path.unlink()
        wait()
        assert station.active() == ["first"]


def test_it_says_that_it_lives_and_when_it_leaves(station: Any) -> None:
    station.write("first.py", "from clockmill import DAG\ndag = DAG('first')\n")
    with running(station) as wait:
        wait()
        station.write("second.py", "from clockmill import DAG\ndag = DAG('second')\n")
        wait()
        assert station.rows("SELECT name FROM component") == [("dag-processor",)]
    assert station.rows("SELECT name FROM component") == []


def test_a_folder_that_appears_later_is_watched(station: Any, dag_source: Source) -> None:
    station.folder.rmdir()
    with running(station) as wait:
        station.write("first.py", dag_source("first"))
        wait()
        station.write("second.py", dag_source("second"))
        wait()
    assert station.active() == ["first", "second"]


def test_a_folder_that_is_a_link_is_followed_when_it_is_moved(station: Any, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dag.py").write_text(f"from clockmill import DAG\ndag = DAG({name!r})\n")
    station.folder.rmdir()
    station.folder.symlink_to(tmp_path / "old")
    with running(station) as wait:
        wait()
        (tmp_path / "link").symlink_to(tmp_path / "new")
        (tmp_path / "link").rename(station.folder)
        wait()
    assert station.active() == ["new"]


def test_a_database_that_is_away_is_waited_for_and_told_of_twice(
    station: Any, dag_source: Source, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    station.write("first.py", dag_source("first"))
    real, failures = Database.write, [None] * 3

    def write(self: Database, work: Any) -> Any:
        if failures:
            failures.pop()
            raise DatabaseUnavailable("It is being restarted.")
        return real(self, work)

    monkeypatch.setattr(Database, "write", write)
    with running(station) as wait:
        wait()
    assert station.active() == ["first"]
    told = [record.getMessage() for record in caplog.records if "the database is" in record.getMessage()]
    assert told[0] == "the database is away, waiting: It is being restarted."
    assert [line.partition(" after ")[0] for line in told[1:]] == ["the database is back"]


def test_where_the_kernel_refuses_to_watch_it_looks_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Iterator[set[object]]:
        raise OSError(28, "the limit of watches is reached")

    monkeypatch.setattr("clockmill.parsing.watch.watch", refuse)
    monkeypatch.setattr("clockmill.parsing.watch._PAUSE", 1)
    stop = threading.Event()
    watcher = Watcher([tmp_path], stop)
    answers = watcher.changes()
    assert [next(answers) for _ in range(3)] == [True, False, False]
    assert not watcher.is_up
    stop.set()
    assert list(answers) == []


def test_what_came_with_a_folder_before_it_was_watched_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clockmill.parsing.watch._PAUSE", 1)
    folder, stop = tmp_path / "dags", threading.Event()
    answers = Watcher([folder], stop).changes()
    assert [next(answers), next(answers)] == [True, False]
    folder.mkdir()
    (folder / "dag.py").touch()
    assert next(answers)
    stop.set()
    assert not any(answers)
