"""Logs that workers of other machines send: live, in order, and a clear word about what is not here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from clockmill.logs.store import LogStore
from clockmill.logs.tasklogs import TaskLogs
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.webserver.app import create_app
from clockmill.webserver.site import WebOptions

PAGE = "/dags/weather/runs/one/tasks/extract"
FIRST, SECOND = f"{1:032x}", f"{2:032x}"
Visit = Callable[[TaskLogs], FlaskClient]


@pytest.fixture
def visit(database: Database, clock: Any, noted: Any, tmp_path: Path) -> Visit:
    """A browser on pages that read logs in one way or another."""

    def open_pages(logs: TaskLogs) -> FlaskClient:
        options = WebOptions(secret_key=b"k" * 32, logs=logs, dags_folder=tmp_path)
        return create_app(database, options, clock=clock, actions_hook=noted).test_client()

    return open_pages


@pytest.fixture
def by_api(visit: Visit, logs: Path) -> FlaskClient:
    """A browser where workers send logs to the web server."""
    return visit(TaskLogs(logs, is_sent=True))


class Try:
    """A try on workers of other machines, and what came of its logs."""

    def __init__(self, seed: Any, logs: Path, clock: Any) -> None:
        self._seed = seed
        self._clock = clock
        self.folder = logs / "weather" / "one" / "extract" / "-1" / "1"
        seed.dag("weather", {"extract": []})
        self.run = seed.run("weather", "one", "running")
        self.task = seed.task(self.run, "extract", "running", try_number=1)

    def attempt(self, ident: str, host: str, state: str = "running") -> None:
        """An attempt on a worker."""
        now = self._clock.now()
        told = {"boot_id": "b", "pid": 1, "slots": 1, "epoch": 0, "started_at": now}
        self._seed._insert(tables.supervisor, id=f"w-{ident}", executor="celery", host=host, **told)
        given = {"id": ident, "supervisor_id": f"w-{ident}", "claimed_at": now, "executor": "celery"}
        self._seed.attempt(self.run, self.task, 1, state, **given)

    def is_over(self) -> None:
        self._seed._database.write(
            lambda c: c.execute(tables.task_instance.update().values(state="success", end_date=self._clock.now()))
        )

    def send(self, ident: str, text: str, suffix: str = ".part") -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{ident}{suffix}").open("a") as file:
            file.write(text)

    def finish(self, ident: str) -> None:
        (self.folder / f"{ident}.part").rename(self.folder / f"{ident}.log")


@pytest.fixture
def there(seed: Any, logs: Path, clock: Any) -> Try:
    return Try(seed, logs, clock)


def test_a_try_that_goes_on_at_another_worker_is_followed_in_order(by_api: FlaskClient, there: Try) -> None:
    there.attempt(FIRST, "far-1", "deferred")
    there.send(FIRST, "one\ntw")
    answer = by_api.get(f"{PAGE}/log?try=1&offset=0")
    assert answer.text == "one\n"
    there.attempt(SECOND, "far-2")
    there.send(SECOND, "three\n")
    at = answer.headers["X-Log-Offset"]
    answer = by_api.get(f"{PAGE}/log?try=1&offset={at}")
    assert answer.text == "tw\nthree\n"
    there.send(FIRST, "o\nlate\n")
    there.send(SECOND, "four\n")
    at = answer.headers["X-Log-Offset"]
    answer = by_api.get(f"{PAGE}/log?try=1&offset={at}")
    assert answer.text == "four\n", "what comes late is not shown behind what came after it"
    assert "X-Log-Complete" not in answer.headers
    there.finish(FIRST)
    assert by_api.get(f"{PAGE}/log?try=1&offset=0").text == "one\ntwo\nlate\nthree\nfour\n"
    assert by_api.get(f"{PAGE}/log?try=1").text == "one\ntwo\nlate\nthree\nfour\n"
    text = by_api.get(PAGE).text
    assert f'data-offset="{SECOND}:11"' in text
    assert text.index("late") < text.index("three") < text.index("four")


def test_the_end_of_a_log_is_waited_for_and_missed_after_ten_minutes(
    by_api: FlaskClient, there: Try, clock: Any
) -> None:
    there.attempt(FIRST, "far-1", "success")
    there.is_over()
    there.send(FIRST, "one\n")
    ended = clock.moment + timedelta(seconds=2)
    clock.moment = ended + timedelta(minutes=10) - timedelta(microseconds=1)
    assert "Its end has not come from far-1 yet; new lines show by themselves." in by_api.get(PAGE).text
    assert "X-Log-Complete" not in by_api.get(f"{PAGE}/log?try=1&offset=0").headers
    clock.moment = ended + timedelta(minutes=10)
    text = by_api.get(PAGE).text
    assert "Its end was never sent: far-1 is gone, or cannot reach the place where logs are kept." in text
    assert "data-log" not in text
    assert by_api.get(f"{PAGE}/log?try=1&offset=0").headers["X-Log-Complete"] == "1"
    there.finish(FIRST)
    text = by_api.get(PAGE).text
    assert "never sent" not in text
    assert "one" in text


def test_what_is_kept_on_another_machine_is_said_so(visit: Visit, there: Try, logs: Path) -> None:
    there.attempt(FIRST, "far-1", "success")
    there.is_over()
    text = visit(TaskLogs(logs)).get(PAGE).text
    assert "far-1 wrote it: [logs] remote does not say where workers send what tasks write." in text


def test_an_attempt_that_wrote_nothing_is_told_from_one_whose_log_is_missing(by_api: FlaskClient, there: Try) -> None:
    there.attempt(FIRST, "far-1", "success")
    there.is_over()
    there.send(FIRST, "", ".log")
    assert "This try wrote no log." in by_api.get(PAGE).text


def test_a_store_that_fails_shows_in_the_place_of_the_log(visit: Visit, there: Try, logs: Path, tmp_path: Path) -> None:
    there.attempt(FIRST, "far-1")
    store = LogStore(f"file://{tmp_path}/mounted")
    key = "weather/one/extract/-1/1"
    store.add(key, FIRST, 0, b"one\n")
    client = visit(TaskLogs(logs, store, limit=60))
    assert client.get(f"{PAGE}/log?try=1&offset=0").text == "one\n"
    store.add(key, FIRST, 4, b"two\n")
    assert client.get(f"{PAGE}/log?try=1&offset={FIRST}:4").text == "two\n"
    assert client.get(f"{PAGE}/log?try=1").text == "one\ntwo\n"
    (tmp_path / "mounted").rename(tmp_path / "gone")
    page = client.get(PAGE)
    assert page.status_code == 200
    assert f"The logs in file://{tmp_path}/mounted cannot be read" in page.text
    assert 'data-offset="0"' in page.text
    for address in (f"{PAGE}/log?try=1&offset=0", f"{PAGE}/log?try=1"):
        answer = client.get(address)
        assert (answer.status_code, answer.mimetype) == (503, "text/plain")
        assert "cannot be read" in answer.text


@pytest.mark.parametrize("at", ["../x:1", "a:b:1", ":1", f"{FIRST}:", f"{FIRST}:-1", "x" * 300 + ":1", "%00:1"])
def test_places_that_are_none_are_refused(by_api: FlaskClient, there: Try, at: str) -> None:
    there.attempt(FIRST, "far-1")
    assert by_api.get(f"{PAGE}/log?try=1&offset={at}").status_code == 400


def test_a_part_that_is_a_link_out_of_the_folder_is_not_followed(
    by_api: FlaskClient, there: Try, tmp_path: Path
) -> None:
    there.attempt(FIRST, "far-1")
    (tmp_path / "secret").write_text("password")
    there.folder.mkdir(parents=True)
    (there.folder / f"{FIRST}.part").symlink_to(tmp_path / "secret")
    for address in (PAGE, f"{PAGE}/log?try=1", f"{PAGE}/log?try=1&offset=0"):
        answer = by_api.get(address)
        assert answer.status_code == 400
        assert "password" not in answer.text
