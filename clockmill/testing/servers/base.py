"""What all servers have in common: a folder, a port, a process that dies with us, and a log."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

from clockmill.clock import SystemClock

START_SECONDS = 120.0
STOP_SECONDS = 30.0

_LOWEST_PORT = 10_000
_FIRST_EPHEMERAL_PORT = 32_768
_random = SystemRandom()  # the seeded one gives two test processes the same ports


class ServerMissing(RuntimeError):
    """The program of a server is not installed.

    :param package: the Debian package that brings it.
    :param kind: what that is, when it is another kind of package.
    """

    def __init__(self, server: str, package: str, kind: str = "Debian package") -> None:
        super().__init__(f"no {server} server here; the {kind} {package!r} brings it")
        self.package = package


class Server(ABC):
    """A server of our own, which keeps its port and its data from one start to the next.

    :param folder: an empty folder, short enough for the path of a Unix socket.
    """

    #: What people call it.
    name: str
    #: The signal by which it stops in good order, and that it gets when the process that started it is killed.
    stop_signal = signal.SIGTERM
    #: Who it runs as; None for ourselves.
    user: str | None = None
    #: Seconds between two looks at whether it is ready.
    poll_seconds = 0.01

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._clock = SystemClock()

    def initialise(self) -> None:
        """Make what the first start needs."""
        self.data.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start, and return when connections are taken.

        :raises RuntimeError: when the server ends instead, or is not ready within two minutes.
        """
        self.prepare()
        self._process = self.launch(self.command(), self.environment())
        deadline = self._clock.monotonic() + START_SECONDS
        while not self.is_ready(self._process.pid):
            if self._process.poll() is not None or self._clock.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            self._clock.sleep(self.poll_seconds)

    def stop(self, mode: signal.Signals | None = None) -> None:
        """Stop, in good order unless ``mode`` is another signal than the server's own; killed after half a minute."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal if mode is None else mode)
            end(self._process)
            self._process = None

    def kill(self) -> None:
        """A crash: SIGKILL."""
        self.stop(signal.SIGKILL)

    def restart(self, mode: signal.Signals | None = None, *, with_data: bool = True) -> None:
        """Stop and start again on the same port, with the same data, or as if the disk had been lost."""
        self.stop(mode)
        if not with_data:
            shutil.rmtree(self.data)
            self.initialise()
        self.start()

    @property
    def pid(self) -> int | None:
        """The server's process while it runs."""
        return self._process.pid if self._process else None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.folder / "server.log"

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """A process that writes to the log and gets the stop signal when the thread that started it ends."""
        dies_with_us = ["setpriv", "--pdeathsig", self.stop_signal.name] if shutil.which("setpriv") else []
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*dies_with_us, *command], cwd=self.folder, env={**os.environ, **environment}, user=self.user,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def prepare(self) -> None:
        """What has to be done before each start."""
        return

    def environment(self) -> Mapping[str, str]:
        """Variables that the server needs beyond ours."""
        return {}

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The program in the foreground, with its arguments."""

    @abstractmethod
    def is_ready(self, pid: int) -> bool:
        """Whether this very process takes connections."""


S = TypeVar("S", bound=Server)


@contextmanager
def temporary(make: Callable[[Path], S], prefix: str) -> Iterator[S]:
    """A running server in a temporary folder, gone with everything in it afterwards.

    :param make: makes the server in a folder.
    :param prefix: how the folder's name goes on after ``clockmill-``; short.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"clockmill-{prefix}-"))
    try:
        server = make(folder)
        server.initialise()
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was told to stop; kill it when it does not."""
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at this moment.

    Below those that the kernel hands out by itself: a server that is down for a while finds its port free again.
    """
    while True:
        port = _random.randrange(_LOWEST_PORT, _FIRST_EPHEMERAL_PORT)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
