"""A PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from clockmill.testing.servers.base import Server, ServerMissing, temporary

_READY_LINE = 7  # of postmaster.pid, where the server writes what pg_ctl waits for

#: Fast and careless: right for tests, wrong for benchmarks, which measure commits.
CARELESS: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresServer(Server):
    """A PostgreSQL server of our own: trusts everybody, listens on a socket in its folder and on 127.0.0.1.

    PostgreSQL refuses to run as root, so under root it runs as ``postgres`` or ``nobody``. It stops fast, by SIGINT,
    which cuts the connections off; SIGTERM waits for them (smart), SIGQUIT is a crash.

    :param folder: an empty folder, short enough for the path of a Unix socket.
    :param settings: server settings by name; :data:`CARELESS` for tests.
    :raises ServerMissing: when no server is installed.
    """

    name = "PostgreSQL"
    stop_signal = signal.SIGINT

    def __init__(self, folder: Path, settings: Mapping[str, str] = CARELESS) -> None:
        super().__init__(folder)
        self.user = _unprivileged_user()
        self._binaries = postgres_binaries()
        self._settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), **settings}

    def url(self, database: str = "postgres", *, tcp: bool = False) -> str:
        """The SQLAlchemy URL of one database, by the Unix socket unless ``tcp``."""
        if tcp:
            return f"postgresql+psycopg://clockmill@127.0.0.1:{self.port}/{database}"
        return f"postgresql+psycopg://clockmill@/{database}?host={self.folder}&port={self.port}"

    def initialise(self) -> None:
        """Make the data folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        self._run(
            "initdb", "--pgdata", str(self.data), "--username=clockmill", "--auth=trust", "--encoding=UTF8",
            "--locale=C", "--no-sync",
        )  # fmt: skip

    def prepare(self) -> None:
        """Without what a crashed server left, which would look ready."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def command(self) -> Sequence[str]:
        """The server with its settings."""
        options = [f"--{name}={value}" for name, value in {"port": str(self.port), **self._settings}.items()]
        return [str(self._binaries / "postgres"), "-D", str(self.data), *options]

    def is_ready(self, pid: int) -> bool:
        """Whether the server has written so, and not one before it."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _READY_LINE and lines[0] == str(pid) and lines[_READY_LINE].strip() == "ready"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            cwd=self.folder,
            user=self.user,
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
    with temporary(lambda folder: PostgresServer(folder, settings), "pg") as server:
        yield server


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


def _unprivileged_user() -> str | None:
    """Who runs the server when we are root, else None for ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
