"""The real program as a process: it starts on an empty home, says when it is ready, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

_SECONDS = 60

pytestmark = pytest.mark.timeout(2 * _SECONDS)


def get(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_it_starts_on_an_empty_home_and_leaves_no_process(start: Any, tmp_path: Path) -> None:
    running = start()

    status, body = get(running.ready(), "/health")
    processes = running.tree()
    code, errors = running.end(signal.SIGTERM)

    home = tmp_path / "home"
    assert status == 200
    assert {"scheduler", "dag-processor", "triggerer"} <= set(json.loads(body)["components"])
    assert code == 0
    assert [line.split()[-1] for line in errors.splitlines()[:3]] == [
        str(home),
        str(home / "dags"),
        str(home / "logs"),
    ]
    assert psutil.wait_procs(processes, timeout=_SECONDS)[1] == []
    assert {stat.S_IMODE(key.stat().st_mode) for key in (home / "keys").iterdir()} == {0o600}
    assert (home / "clockmill.toml").exists()


def test_it_starts_again_on_the_same_home_after_ctrl_c(start: Any) -> None:
    first = start()
    first.ready()
    assert first.end(signal.SIGINT)[0] == 0

    second = start()

    assert get(second.ready(), "/health")[0] == 200
    assert second.end(signal.SIGINT)[0] == 0


def test_a_home_in_use_is_one_clear_line(start: Any, tmp_path: Path) -> None:
    running = start()
    running.ready()

    code, errors = start().end()

    assert code == 1
    assert errors == (
        f"clockmill: The home {tmp_path / 'home'} is already in use by process {running.process.pid}: "
        "stop that, or choose another one with --home.\n"
    )


def test_a_port_that_is_taken_is_one_clear_line_and_nothing_is_started(start: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        code, errors = start("--port", str(port)).end()

    assert code == 1
    assert len(errors.splitlines()) == 1
    assert f"port {port}" in errors
    assert not (tmp_path / "home" / "clockmill.db").exists()


@pytest.mark.parametrize("file", ["clockmill.lock", "logs/clockmill.log"])
def test_a_file_that_may_not_be_written_is_one_clear_line(start: Any, tmp_path: Path, file: str) -> None:
    path = tmp_path / "home" / file
    path.parent.mkdir(parents=True)
    path.symlink_to("/proc/sys/kernel/ngroups_max")  # which is read-only for the superuser too

    code, errors = start("--port", "0").end()

    assert code == 1
    assert errors == f"clockmill: {path} cannot be used: Permission denied.\n"


def test_a_bad_setting_is_one_clear_line(start: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "clockmill.toml").write_text("[core]\nexecutr = 'local'\n")

    code, errors = start().end()

    assert code == 1
    assert errors.endswith("has no option 'executr'. Did you mean 'executor'?\n")
    assert len(errors.splitlines()) == 1


def test_an_executor_that_is_not_there_is_one_clear_line(start: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "clockmill.toml").write_text("[core]\nexecutor = 'locl'\n")

    code, errors = start().end()

    assert code == 1
    assert len(errors.splitlines()) == 1
    assert "There is no executor 'locl'. Did you mean 'local'?" in errors


def test_a_second_signal_stops_at_once(start: Any) -> None:
    running = start("--port", "0", "--grace", "3600")
    running.ready()

    code, errors = running.end(signal.SIGINT, signal.SIGTERM)

    assert code == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", "cannot be reached"),
        ("mysql://host/name", "is not supported; use SQLite or PostgreSQL."),
        ("nonsense", "cannot be understood"),
        ("sqlite:////proc/none.db", "cannot be used: unable to open database file."),
    ],
)
def test_a_database_that_cannot_be_used_is_one_clear_line(start: Any, tmp_path: Path, url: str, told: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "clockmill.toml").write_text(f"[database]\nurl = '{url}'\n")

    code, errors = start().end()

    assert code == 1
    assert len(errors.splitlines()) == 1
    assert told in errors


@pytest.mark.postgres
def test_a_shared_server_is_not_migrated_unasked(start: Any, postgres: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "clockmill.toml").write_text(f"[database]\nurl = '{postgres.url()}'\n")

    code, errors = start().end()

    assert code == 1
    assert "run clockmill db migrate" in errors
