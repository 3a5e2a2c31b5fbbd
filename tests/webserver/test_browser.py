"""The pages in a real browser: what their scripts do, and that nothing breaks their own content policy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from sqlalchemy import update

from clockmill.storage.engine import Database
from clockmill.storage.tables import task_instance
from clockmill.webserver.server import WebServer, listen

pytestmark = pytest.mark.browser

PAGE = "/dags/weather/runs/one/tasks/extract"
STAMP = "2026-01-31T06:00:00.123456+00:00 "


@pytest.fixture(scope="session")
def chromium() -> str:
    """A Chromium; skips where none is installed, fails there in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing = "The pages are looked at in a browser: install the Debian package chromium."
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """One kind of database is enough for scripts."""
    database = Database(sqlite_url, synchronous="OFF")
    yield database
    database.close()


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """The address at which the application is served."""
    sock = listen("127.0.0.1", 0)
    server = WebServer(app, sock)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.stop()
    thread.join(10)


def look(chromium: str, profile: Path, address: str) -> tuple[str, list[str]]:
    """What a page is after its scripts ran for some seconds of virtual time, and what the console said."""
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += " --disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=6000"
    done = subprocess.run(
        [chromium, *options.split(), f"--user-data-dir={profile}", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_page_of_a_running_task_follows_its_log_and_its_end(
    chromium: str, address: str, app: Flask, database: Database, seed: Any, tmp_path: Path
) -> None:
    seed.dag("weather", {"extract": []})
    run = seed.run("weather", "one", "running")
    task = seed.task(run, "extract", "running", try_number=1)
    seed.attempt(run, task, 1, "running")
    seed.log("weather", "one", "extract", f"{STAMP}first line\n")
    end = update(task_instance).where(task_instance.c.id == task).values(state="success")

    @app.after_request
    def go_on(response: Response) -> Response:
        """Once the page is out, the task prints a line; once that line is out, it succeeds."""
        if request.endpoint == "tasks.show_task" and "X-Live" not in request.headers:
            seed.log("weather", "one", "extract", f"{STAMP}<i>second</i> line\n{STAMP}*** the end\n")
        elif request.endpoint == "tasks.read_log":
            database.write(lambda connection: connection.execute(end))
        return response

    dom, console = look(chromium, tmp_path / "profile", address + PAGE)

    log = re.search(r'<pre class="log".*?</pre>', dom, re.DOTALL)
    assert log
    assert re.findall(r"</time> ([^<]*(?:&lt;[^<]*)*)\n", log.group()) == [
        "first line",
        "&lt;i&gt;second&lt;/i&gt; line",
        "the end",
    ]
    assert 'class="line own"' in log.group()
    assert re.search(r'id="task-state"[^>]*><span class="pill s-success">', dom)
    assert "data-live" not in dom
    assert console == []


def test_the_list_takes_in_new_dags_and_lets_the_theme_be_chosen(
    chromium: str, address: str, app: Flask, seed: Any, tmp_path: Path
) -> None:
    seed.dag("weather")

    @app.after_request
    def go_on(response: Response) -> Response:
        """Once the page is out, somebody saves another file."""
        if request.endpoint == "dags.list_dags" and "X-Live" not in request.headers:
            seed.dag("billing")
        return response

    dom, console = look(chromium, tmp_path / "profile", f"{address}/dags")

    assert re.findall(r'<tr id="dag-(\w+)"', dom) == ["billing", "weather"]
    assert re.search(r"<b>2</b></a>", dom)
    assert re.search(r'<button class="icon" id="theme" type="button" aria-label="Theme: system[^>]*>', dom)
    assert console == []
