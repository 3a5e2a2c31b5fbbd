"""The services of the compose file as plain processes, by the very command lines and settings that stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, text

from clockmill import dags
from clockmill.cli.main import cli
from clockmill.host.processes import mark_of
from clockmill.testing.servers import PostgresServer, RedisServer
from clockmill.testing.servers.base import free_port
from tests.deploy import files
from tests.faults.harness import Service, kill, wait_until

# Eight programs start on what may be a busy machine.
pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.postgres, pytest.mark.timeout(400)]

_EXAMPLES = Path(dags.__file__).parent
_SECRET = "what the workers of this test prove themselves with"


class Stage:
    """What Docker would be: homes for volumes, files for secrets, addresses for names, and processes for containers."""

    def __init__(self, place: Path, database_url: str, broker_url: str) -> None:
        self.place = place
        self.port = free_port()
        self.services = files.ours()
        self.running: dict[str, Service] = {}
        self._numbers = count(1)
        for name in ("dags", "secrets", "services"):
            (place / name).mkdir()
        secrets = {"database_url": database_url, "workers_secret": _SECRET}
        for name, secret in secrets.items():
            (place / "secrets" / name).write_text(f"{secret}\n")
        self._places = {
            "/run/secrets": str(place / "secrets"),
            "/srv/dags": str(place / "dags"),
            "redis://redis:6379/0": broker_url,
            "http://webserver:8080": f"http://127.0.0.1:{self.port}",
            "0.0.0.0": "127.0.0.1",
            "8080": str(self.port),
        }

    def here(self, word: str) -> str:
        """A word of the compose file as it has to be on this machine."""
        for there, here in self._places.items():
            if word == there or (there.startswith("/") and word.startswith(f"{there}/")):
                return here + word.removeprefix(there)
        return word

    def home(self, name: str) -> Path:
        """The home of a service: the volume that is mounted there."""
        mounts = dict(reversed(mount.split(":")[:2]) for mount in self.services[name]["volumes"])
        return self.place / mounts["/var/lib/clockmill"]

    def environment(self, name: str) -> dict[str, str]:
        """What a service sees."""
        service = self.services[name]
        told = files.variables(files.DEPLOY / service["env_file"]) | service["environment"]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CLOCKMILL")}
        return (
            inherited
            | {key: self.here(value) for key, value in told.items()}
            | {"CLOCKMILL_HOME": str(self.home(name)), "CLOCKMILL__CORE__LOAD_EXAMPLES": "false"}
        )

    def start(self, name: str) -> Service:
        """Start a service."""
        words = [self.here(word) for word in self.services[name]["command"][1:]]
        folder = self.place / "services" / f"{name}-{next(self._numbers)}"
        self.running[name] = Service(folder, self.environment(name), *words)
        return self.running[name]

    def execute(self, name: str, *words: str) -> Result:
        """A command of ours in the container of a service."""
        return CliRunner().invoke(cli, list(words), env=self.environment(name), prog_name="clockmill")

    def call(self, *words: str) -> str:
        """A command beside the scheduler, which has to succeed."""
        done = self.execute("scheduler", *words)
        assert done.exit_code == 0, done.output
        return done.stdout

    def rows(self, *words: str) -> Any:
        """What such a command lists."""
        return json.loads(self.call(*words, "--output", "json"))

    def is_healthy(self, name: str) -> bool:
        """What the health check of a service says; one that has none is."""
        _, program, *words = self.services[name].get("healthcheck", {}).get("test", ["NONE", ""])
        if program == "clockmill":
            return self.execute(name, *words).exit_code == 0
        if program == "python":
            told = [word.replace("8080", str(self.port)) for word in words]
            return subprocess.run([sys.executable, *told], capture_output=True, check=False).returncode == 0
        return not self.running[name].is_over()

    def in_order(self) -> list[str]:
        """The services, those that others depend on first."""
        order: list[str] = []
        while left := [name for name in self.services if name not in order]:
            order += [name for name in left if not set(self.services[name]["depends_on"]) & set(left)]
        return order

    def get(self, path: str, host: str) -> int:
        """The status of a page, asked for by the name that a browser uses."""
        web = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            web.request("GET", path, headers={"Host": host})
            return web.getresponse().status
        finally:
            web.close()

    def stop(self, name: str) -> int:
        """As Docker stops it: TERM, and no more patience than its grace period."""
        patience = files.seconds(self.services[name]["stop_grace_period"])
        return self.running.pop(name).end(signal.SIGTERM, seconds=patience)

    def said(self) -> str:
        """What the services complained of."""
        return "\n".join(f"--- {name}\n{service.said()}" for name, service in self.running.items())

    def processes(self) -> list[int]:
        """All that lives of these homes."""
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [pid for pid in pids if (mark_of(pid, "CLOCKMILL_HOME") or "").startswith(f"{self.place}/")]

    def close(self) -> None:
        """Leave nothing behind."""
        while found := self.processes():
            for pid in found:
                kill(pid)
        for service in self.running.values():
            service.process.wait(10)


@pytest.fixture
def stage(tmp_path: Path, postgres: PostgresServer, redis: RedisServer) -> Iterator[Stage]:
    """A stage with an empty database and a broker of which nobody knows anything yet."""
    engine = create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE topology"))
    redis.purge()
    found = Stage(tmp_path, postgres.url("topology"), redis.url())
    yield found
    found.close()
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE topology WITH (FORCE)"))
    engine.dispose()


def test_the_services_of_the_compose_file_run_a_dag_and_stop_in_time(stage: Stage) -> None:
    shutil.copy(_EXAMPLES / "sensors.py", stage.place / "dags")
    shutil.copytree(_EXAMPLES / "data", stage.place / "dags" / "data")

    for name in stage.in_order():
        service = stage.start(name)
        if name == "migrate":
            wait_until(service.is_over, "the tables", 120, tell=service.said)
            assert stage.running.pop(name).process.returncode == 0, service.said()
        elif name == "webserver":
            service.ready()
    for name in stage.running:
        wait_until(lambda name=name: stage.is_healthy(name), f"a healthy {name}", 120, tell=stage.said)

    run_the_example(stage)

    assert [stage.get("/dags", host) for host in ("clockmill.example.com", "localhost", "elsewhere.example.com")] == [
        200, 200, 400,
    ]  # fmt: skip
    for name in ("worker-1", "worker-2"):
        assert not list((stage.home(name) / "keys").iterdir())
        assert not list(stage.home(name).glob("*.db"))
    assert {name: stage.stop(name) for name in reversed(stage.in_order()) if name in stage.running} == {
        name: 0 for name in stage.services if name != "migrate"
    }
    assert stage.processes() == []


def run_the_example(stage: Stage) -> None:
    """It defers, so that the triggerer has a part in it, and looks again; what one task found another one prints."""
    wait_until(lambda: stage.rows("dags", "list"), "the DAG", 120, tell=stage.said)
    workers = stage.rows("workers", "list")
    assert [(each["state"], each["slots"]) for each in workers] == [("alive", 8)] * 2
    stage.call("dags", "unpause", "sensors")
    stage.call("dags", "trigger", "sensors", "--run-id", "one")

    def state() -> str:
        (run,) = stage.rows("runs", "list", "sensors")
        return str(run["state"])

    wait_until(lambda: state() in {"success", "failed"}, "the end of the run", 120, tell=stage.said)
    assert state() == "success", stage.said()
    log = ("tasks", "logs", "sensors", "one", "load")
    wait_until(
        lambda: re.search(r"There after \d+ looks", stage.execute("scheduler", *log).output),
        "the log",
        120,
        tell=stage.said,
    )
