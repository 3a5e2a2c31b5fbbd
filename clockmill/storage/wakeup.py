"""Waking services from other processes, after a commit.

On PostgreSQL by NOTIFY, on SQLite by a datagram to the socket of each service in the run folder. Losing one is
harmless: no service sleeps for longer than five seconds.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from enum import IntFlag
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, text

from clockmill.host.sockets import short_path
from clockmill.ids import new_token
from clockmill.storage.engine import Database, DatabaseUnavailable, liveness


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


_MAIL = text(f"NOTIFY {SCHEDULERS.channel}, 'MAIL '")


class Call(IntFlag):
    """What a service is called for; several calls that are taken in together are joined."""

    NONE = 0  #: nobody called
    WORK = 1  #: somebody has work that it has no room for; of interest to whoever has room
    MAIL = 2  #: workers have reported
    NEWS = 4  #: something else changed: look at everything


class WakeListener(Protocol):
    """The ear of one service, and its voice among those of its kind."""

    def filenos(self) -> list[int]:
        """Descriptors that become readable when somebody calls."""
        ...

    def drain(self) -> Call:
        """Take in all calls, joined."""
        ...

    def call_others(self, call: Call) -> None:
        """Call the others that listen for the same, and not this one; never fails, as :func:`wake` does not."""
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
    else:
        _notify(database, whom.channel)


def announce_mail(connection: Connection) -> None:
    """Call all schedulers with the commit of this transaction, where the database can do that."""
    if connection.dialect.name == "postgresql":
        connection.execute(_MAIL)


def deliver_mail(database: Database, run_folder: Path) -> None:
    """Call them after the commit, where it cannot."""
    if database.is_sqlite:
        _send_datagrams(run_folder / SCHEDULERS.folder, b"MAIL")


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

    def drain(self) -> Call:
        call = Call.NONE
        while True:
            try:
                word = self._socket.recv(64)
            except BlockingIOError:
                return call
            call |= _call_named(word.decode("ascii", "replace"))

    def call_others(self, call: Call) -> None:
        _send_datagrams(self._path.parent, (call.name or "NEWS").encode("ascii"), but=self._path)

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


class NotifyListener:
    """A connection that LISTENs; it is opened again after the server went away."""

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._token = new_token()  # by which it knows its own voice
        self._connection: Any = None
        self._connect()

    def filenos(self) -> list[int]:
        return [] if self._connection is None else [self._connection.fileno()]

    def drain(self) -> Call:
        if self._connection is None:
            return Call.NEWS if self._connect() else Call.NONE
        try:
            said = [notify.payload.partition(" ") for notify in self._connection.notifies(timeout=0)]
            return reduce(or_, (_call_named(word) for word, _, token in said if token != self._token), Call.NONE)
        except OSError:
            return self._lose()
        except self._driver_error():
            return self._lose()

    def call_others(self, call: Call) -> None:
        # Not by the connection that listens: what comes in while it sends would be taken in by nobody.
        _notify(self._database, f"{self._channel}, '{call.name or 'NEWS'} {self._token}'")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> bool:
        import psycopg

        url = self._database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            self._connection = psycopg.connect(url, autocommit=True, **liveness(self._database.url))
            self._connection.execute(f"LISTEN {self._channel}")
        except psycopg.OperationalError:
            self._connection = None
        return self._connection is not None

    def _lose(self) -> Call:
        self._connection.close()
        self._connection = None
        return Call.NEWS

    @staticmethod
    def _driver_error() -> type[Exception]:
        import psycopg

        return psycopg.Error


def _call_named(word: str) -> Call:
    """Who says nothing, or something new, has news."""
    return Call[word] if word in Call.__members__ else Call.NEWS


def _notify(database: Database, what: str) -> None:
    with contextlib.suppress(DatabaseUnavailable):
        database.write(lambda connection: connection.execute(text(f"NOTIFY {what}")))


def _send_datagrams(folder: Path, word: bytes = b"", but: Path | None = None) -> None:
    if not folder.is_dir():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for path in folder.glob("*.sock"):
            if path == but:
                continue
            try:
                with short_path(path) as address:
                    sender.sendto(word, address)
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # its buffer is full, so it is being called already, or it is gone
