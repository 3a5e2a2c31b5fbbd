"""Real services as processes over a home of their own, and what a test asks and does to them."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
from click.testing import CliRunner
from sqlalchemy import func
from sqlalchemy import select as select_rows

from clockmill import config
from clockmill.cli.main import cli
from clockmill.clock import SystemClock
from clockmill.host.processes import children_of, mark_of
from clockmill.probes import ENVIRONMENT
from clockmill.storage.crypto import KEY_FILE, create_key_file
from clockmill.storage.engine import Database
from clockmill.storage.tables import dag_run, supervisor
from tests.faults.evidence import LIVE, Attempt, Entry, Evidence, read_ledger, read_rows, violations

T = TypeVar("T")

CLOCK = SystemClock()
DAGS = Path(__file__).parent / "dags"
SLOTS = 6
#: Seconds that anything may take that comes in the end, on a machine that has much else to do.
PATIENCE = 120.0
_LOOK_SECONDS = 0.02


def wait_until(look: Callable[[], T], what: str, seconds: float = PATIENCE, tell: Callable[[], str] = str) -> T:
    """Look again and again until there is an answer; returns it.

    :param what: what is waited for, for people.
    :param tell: more about it, asked for when it never came.
    """
    deadline = CLOCK.monotonic() + seconds
    while not (answer := look()):
        assert CLOCK.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{tell()}"
        CLOCK.sleep(_LOOK_SECONDS)
    return answer


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process; with SIGKILL, return when the kernel has let go of it."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, number)
        if number is signal.SIGKILL:
            select.select([handle], [], [], 10)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


class Service:
    """One ``clockmill`` process."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self.out = folder / "out"
        self.err = folder / "err"
        folder.mkdir()
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clockmill", *arguments], stdout=out, stderr=err, env=environment
            )

    def ready(self) -> float:
        """Wait for the line ``ready ADDRESS``; returns the moment of seeing it."""
        wait_until(lambda: re.search("^ready http", self.out.read_text(), re.M), "ready", tell=self.said)
        return CLOCK.monotonic()

    @property
    def address(self) -> str:
        """Where a web server that is ready answers."""
        return self.out.read_text().split()[1]

    def is_over(self) -> bool:
        """Whether it has ended, for whatever reason."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """SIGKILL, this process alone."""
        self.process.kill()
        self.process.wait(10)

    def end(self, *signals: signal.Signals, seconds: float = PATIENCE) -> int:
        """Ask it to stop; the exit status."""
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
        wait_until(self.is_over, "the end of the service", seconds, self.said)
        return self.process.returncode

    def said(self) -> str:
        """The end of its standard error."""
        return self.err.read_text(errors="replace")[-4000:]


@dataclass
class Mill:
    """A home, a database, a DAG folder and a ledger; several may share all but the home.

    :param place: where the DAG folder and the ledger are.
    :param answered: the runs that have to be there, as ``dag/run``.
    :param extra: settings as environment variables.
    """

    home: Path
    url: str
    place: Path
    answered: set[str] = field(default_factory=set)
    services: list[Service] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = config.load(self.home, environ={})
        config.create_home(settings)
        create_key_file(settings.keys_folder / KEY_FILE)
        self.database = Database(self.url)

    @property
    def ledger(self) -> Path:
        return self.place / "ledger"

    @property
    def environment(self) -> dict[str, str]:
        """What the services see besides the environment of the tests."""
        return {
            "CLOCKMILL_HOME": str(self.home),
            "CLOCKMILL__CORE__CRASH_BUDGET": "50",
            "CLOCKMILL__CORE__DAGS_FOLDER": str(self.place / "dags"),
            "CLOCKMILL__CORE__LOAD_EXAMPLES": "false",
            "CLOCKMILL__CORE__PARALLELISM": str(SLOTS),
            "CLOCKMILL__DATABASE__URL": self.url,
            "CLOCKMILL__SCHEDULER__KILL_GRACE_SECONDS": "1",
            "FAULT_LEDGER": str(self.ledger),
            **self.extra,
        }

    # --- what people do -------------------------------------------------------------------------------------------

    def call(self, *arguments: str) -> None:
        """A command that has to succeed, in this process."""
        result = CliRunner().invoke(cli, list(arguments), env=self.environment, prog_name="clockmill")
        assert result.exit_code == 0, result.output

    def parse(self, *files: str) -> None:
        """Put DAG files into the folder and parse them."""
        (self.place / "dags").mkdir()
        for file in ("ledger.py", *files):
            shutil.copy(DAGS / file, self.place / "dags" / file)
        self.call("pools", "set", "narrow", "2", "two at once")
        self.call("dags", "reserialize")

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Trigger a run; from then on it has to be there."""
        self.call("dags", "trigger", dag_id, "--run-id", run_id)
        self.answered.add(f"{dag_id}/{run_id}")

    def open_gate(self) -> None:
        """Let the long tasks end."""
        Path(f"{self.ledger}.gate").touch()

    # --- processes ------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, probes: str = "") -> Service:
        """Start a service; ``probes`` break it at a point of its way."""
        environment = {**os.environ, **self.environment, **({ENVIRONMENT: probes} if probes else {})}
        service = Service(self.home / f"service{len(self.services)}", environment, *arguments)
        self.services.append(service)
        return service

    def standalone(self, *arguments: str, probes: str = "") -> Service:
        """Start everything in one tree."""
        return self.start("standalone", "--port", "0", "--no-examples", *arguments, probes=probes)

    def processes(self) -> list[int]:
        """All that lives of this home: services, supervisors, zygotes, tasks."""
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [pid for pid in pids if mark_of(pid, "CLOCKMILL_HOME") == str(self.home)]

    def kill_all(self) -> None:
        """Kill the whole tree, those first who would notice what becomes of the others."""
        for service in self.services:
            service.process.kill()
        while found := self.processes():
            for pid in found:
                kill(pid)
        for service in self.services:
            service.process.wait(10)

    def supervisors(self) -> list[int]:
        """The process ids of this home's living supervisors."""
        known = select_rows(supervisor.c.pid).where(supervisor.c.is_alive)
        pids = self.database.read(lambda connection: list(connection.execute(known).scalars()))
        return [pid for pid in pids if mark_of(pid, "CLOCKMILL_HOME") == str(self.home)]

    def busy_services(self) -> list[Service]:
        """The services whose supervisors hold live attempts."""
        holders = {each.supervisor for each in self.live().values()}
        known = select_rows(supervisor.c.pid).where(supervisor.c.id.in_(holders))
        pids = self.database.read(lambda connection: list(connection.execute(known).scalars()))
        parents = {psutil.Process(pid).ppid() for pid in pids}
        return [service for service in self.services if service.process.pid in parents]

    def epoch(self) -> int:
        """The highest epoch of a scheduler that controls a supervisor."""
        newest = select_rows(func.max(supervisor.c.epoch)).where(supervisor.c.is_alive)
        return self.database.read(lambda connection: connection.execute(newest).scalar()) or 0

    def zygotes(self) -> list[int]:
        """The process ids of their zygotes."""
        return [pid for parent in self.supervisors() for pid in sorted(children_of(parent))]

    def at_work(self) -> dict[str, int]:
        """The process ids of the tasks that are in the user's code, by task."""
        ended = {entry.attempt for entry in self.entries() if entry.kind == "END"}
        begun = [entry for entry in self.entries() if entry.kind == "START" and entry.attempt not in ended]
        return {entry.task: entry.pid for entry in begun if mark_of(entry.pid, "ATTEMPT_ID") == entry.attempt}

    def task_processes(self) -> list[int]:
        """The process ids of the tasks that are in the user's code."""
        return list(self.at_work().values())

    # --- what happened --------------------------------------------------------------------------------------------

    def entries(self, kind: str = "") -> list[Entry]:
        """The ledger so far."""
        return [entry for entry in read_ledger(self.ledger) if kind in ("", entry.kind)]

    def evidence(self) -> Evidence:
        """Ledger and rows."""
        return self.database.read(lambda connection: read_rows(connection, self.entries(), self.answered))

    def wait_for_entries(self, kind: str, count: int) -> None:
        """Wait until the ledger has so many entries of one kind."""
        wait_until(lambda: len(self.entries(kind)) >= count, f"{count} times {kind}", tell=self.tell)

    def live(self) -> dict[str, Attempt]:
        """The attempts that are not over, by task."""
        return {each.task: each for each in self.evidence().attempts if each.state in LIVE}

    def is_done(self) -> bool:
        """Whether all runs that were asked for are over."""
        states = select_rows(dag_run.c.dag_id, dag_run.c.run_id, dag_run.c.state)
        rows = self.database.read(lambda connection: list(connection.execute(states)))
        runs = {f"{row.dag_id}/{row.run_id}": row.state for row in rows}
        return all(runs.get(name) in {"success", "failed"} for name in self.answered)

    def wait_for_runs(self, seconds: float = PATIENCE) -> None:
        """Wait for the end of every run."""
        wait_until(self.is_done, "the end of every run", seconds, self.tell)

    def check(self) -> Evidence:
        """Everything is over, and it was as promised."""
        evidence = self.evidence()
        assert violations(evidence) == [], self.tell()
        return evidence

    def check_gone(self) -> None:
        """I10: no process and no file of a supervisor is left."""
        assert self.processes() == []
        attempts = {each.id for each in self.evidence().attempts}
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        assert [pid for pid in pids if mark_of(pid, "ATTEMPT_ID") in attempts] == []
        assert sorted(path.name for path in (self.home / "run" / "executors" / "local" / "supervisors").iterdir()) == []

    def tell(self) -> str:
        """What is to be known when a test fails."""
        evidence = self.evidence()
        open_tasks = [f"{each.task}: {each.state}" for each in evidence.tasks if each.state != "success"]
        said = [f"--- {service.err}\n{service.said()}" for service in self.services]
        return "\n".join([f"runs: {evidence.runs}", *open_tasks[:20], *said])

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        self.kill_all()
        self.database.close()
