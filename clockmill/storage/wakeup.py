"""Waking services from other processes, after a commit.

On PostgreSQL by NOTIFY, on SQLite by a datagram to the socket of each service in the run folder. Losing one is
harmless: no service sleeps for longer than five seconds.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import text

from clockmill.host.sockets import short_path
from clockmill.storage.engine import Database, DatabaseUnavailable


@dataclass(frozen=True, slots=True)
class Audience:
    """Services that are called together.

    :param channel: of PostgreSQL.
    :param folder: of their sockets, below the run folder.
    """

    channel: str
    folder: str


SCHEDULERS = Audience("clockmill_wake", "wake")
TRIGGERERS = Audience("clockmill_triggers", "wake-triggerers")


class WakeListener(Protocol):
    """The ear of one service."""

    def filenos(self) -> list[int]:
        """Descriptors that become readable when somebody calls."""
        ...

    def drain(self) -> bool:
        """Take in all calls; whether there was one."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


def listen(database: Database, run_folder: Path, name: str, whom: Audience = SCHEDULERS) -> WakeListener:
    """Begin to listen for calls to ``whom``, as the service ``name``."""
    if database.is_sqlite:
        return DatagramListener(run_folder / whom.folder, name)
    return NotifyListener(database, whom.channel)


def wake(database: Database, run_folder: Path, whom: Audience = SCHEDULERS) -> None:
    """Call every such service of this database; never fails, because each looks by itself soon enough."""
    if database.is_sqlite:
        _send_datagrams(run_folder / whom.folder)
        return
    with contextlib.suppress(DatabaseUnavailable):
        database.write(lambda connection: connection.execute(text(f"NOTIFY {whom.channel}")))


class DatagramListener:
    """A Unix datagram socket ``NAME.sock`` in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / f"{name}.sock"
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        with short_path(self._path) as address:
            self._socket.bind(address)

    def filenos(self) -> list[int]:
        return [self._socket.fileno()]

    def drain(self) -> bool:
        called = False
        while True:
            try:
                self._socket.recv(64)
            except BlockingIOError:
                return called
            called = True

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


class NotifyListener:
    """A connection that LISTENs; it is opened again after the server went away."""

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._connection: Any = None
        self._connect()

    def filenos(self) -> list[int]:
        return [] if self._connection is None else [self._connection.fileno()]

    def drain(self) -> bool:
        if self._connection is None:
            return self._connect()
        try:
            return bool(list(self._connection.notifies(timeout=0)))
        except OSError:
            return self._lose()
        except self._driver_error():
            return self._lose()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> bool:
        import psycopg

        url = self._database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
            self._connection.execute(f"LISTEN {self._channel}")
        except psycopg.OperationalError:
            self._connection = None
        return self._connection is not None

    def _lose(self) -> bool:
        self._connection.close()
        self._connection = None
        return True

    @staticmethod
    def _driver_error() -> type[Exception]:
        import psycopg

        return psycopg.Error


def _send_datagrams(folder: Path) -> None:
    if not folder.is_dir():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for path in folder.glob("*.sock"):
            try:
                with short_path(path) as address:
                    sender.sendto(b"", address)
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # its buffer is full, so it is being called already, or it is gone
