"""Servers that tests and benchmarks start themselves, each in a temporary folder and on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clockmill.clock import SystemClock

START_SECONDS = 60.0
STOP_SECONDS = 30.0

_READY_LINE = 7  # of postmaster.pid, where the server writes what pg_ctl waits for

#: Fast and careless: right for tests, wrong for benchmarks, which measure commits.
CARELESS: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class ServerMissing(RuntimeError):
    """The program of a server is not installed.

    :param package: the Debian package that brings it.
    """

    def __init__(self, server: str, package: str) -> None:
        super().__init__(f"no {server} server here; the Debian package {package!r} brings it")
        self.package = package


class PostgresServer:
    """A PostgreSQL server of our own: trusts everybody, listens on a socket in its folder and on 127.0.0.1.

    PostgreSQL refuses to run as root, so under root it runs as ``postgres`` or ``nobody``.

    :param folder: an empty folder, short enough for the path of a Unix socket.
    :param settings: server settings by name; :data:`CARELESS` for tests.
    :raises ServerMissing: when no server is installed.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] = CARELESS) -> None:
        self.folder = folder
        self.port = free_port()
        self._binaries = postgres_binaries()
        self._settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._clock = SystemClock()

    def url(self, database: str = "postgres", *, tcp: bool = False) -> str:
        """The SQLAlchemy URL of one database, by the Unix socket unless ``tcp``."""
        if tcp:
            return f"postgresql+psycopg://clockmill@127.0.0.1:{self.port}/{database}"
        return f"postgresql+psycopg://clockmill@/{database}?host={self.folder}&port={self.port}"

    def initialise(self) -> None:
        """Make the data folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (user := _unprivileged_user()) is not None:
            shutil.chown(self.folder, user)
        self._run(
            "initdb", "--pgdata", str(self.data), "--username=clockmill", "--auth=trust", "--encoding=UTF8",
            "--locale=C", "--no-sync",
        )  # fmt: skip

    def start(self) -> None:
        """Start, and return when connections are taken.

        :raises RuntimeError: when the server ends instead, or is not ready within a minute.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        options = [f"--{name}={value}" for name, value in {"port": str(self.port), **self._settings}.items()]
        command = [*_dies_with_us(), str(self._binaries / "postgres"), "-D", str(self.data), *options]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=_unprivileged_user()
            )
        self._await_ready(self._process)

    def stop(self, mode: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT cuts the connections off (fast), SIGTERM waits for them (smart), SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(mode)
            self._process.wait(STOP_SECONDS)
            self._process = None

    def restart(self, mode: signal.Signals = signal.SIGINT) -> None:
        """Stop and start again, on the same port and with the same data."""
        self.stop(mode)
        self.start()

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.folder / "server.log"

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = self._clock.monotonic() + START_SECONDS
        while not self._is_ready(process.pid):
            if process.poll() is not None or self._clock.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            self._clock.sleep(0.01)

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _READY_LINE and lines[0] == str(pid) and lines[_READY_LINE].strip() == "ready"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            cwd=self.folder,
            user=_unprivileged_user(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}")


@contextmanager
def postgres_server(settings: Mapping[str, str] = CARELESS) -> Iterator[PostgresServer]:
    """A running PostgreSQL server in a temporary folder, gone with everything in it afterwards.

    :raises ServerMissing: when no server is installed.
    """
    postgres_binaries()
    folder = Path(tempfile.mkdtemp(prefix="clockmill-pg-"))
    try:
        server = PostgresServer(folder, settings)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres_binaries() -> Path:
    """The folder of the newest PostgreSQL programs: where Debian puts them, or on the PATH.

    :raises ServerMissing: when there is none.
    """
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0)
    if (found := shutil.which("initdb")) is not None:
        return Path(found).resolve().parent
    raise ServerMissing("PostgreSQL", "postgresql")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unprivileged_user() -> str | None:
    """Who runs the server when we are root, else None for ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _dies_with_us() -> list[str]:
    """A prefix by which the server stops fast when the process that started it is killed."""
    return ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
