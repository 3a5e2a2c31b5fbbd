"""A Redis server."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from clockmill.testing.servers.base import Server, ServerMissing, temporary

ANSWER_SECONDS = 30.0

#: Every write is in the operating system's hands before it is answered: a crash of the server alone loses nothing.
STURDY: Mapping[str, str] = {"appendonly": "yes", "appendfsync": "no", "save": ""}


class RedisServer(Server):
    """A Redis server of our own, on 127.0.0.1 and on a socket in its folder.

    :param folder: an empty folder, short enough for the path of a Unix socket.
    :param settings: those of ``redis.conf`` by name. By default a crash loses nothing; with ``{"save": ""}`` each stop
        loses all.
    :raises ServerMissing: when no server is installed.
    """

    name = "Redis"

    def __init__(self, folder: Path, settings: Mapping[str, str] = STURDY) -> None:
        super().__init__(folder)
        self._program = redis_program()
        self._settings = settings

    def url(self, database: int = 0) -> str:
        """The broker URL of one database, 0 to 15."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def purge(self) -> None:
        """Throw everything away, while clients are connected."""
        self.ask("FLUSHALL")

    def wipe(self) -> None:
        """The same: Redis has no queues but those that hold something."""
        self.purge()

    def drop_connections(self) -> int:
        """Cut all clients off; returns how many."""
        normal = int(self.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
        return normal + int(self.ask("CLIENT", "KILL", "TYPE", "pubsub"))

    def waiting(self, queue: str) -> int:
        """How many messages a list of database 0 holds."""
        return int(self.ask("LLEN", queue))

    def ask(self, *words: str) -> str:
        """The one-line answer to a command, by the socket in the folder.

        :raises RuntimeError: when the answer is an error.
        :raises OSError: when the server cannot be reached.
        """
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(ANSWER_SECONDS)
            link.connect(str(self._socket))
            link.sendall(_request(words))
            with link.makefile("r", encoding="utf-8", newline="\r\n") as answers:
                answer = answers.readline().removesuffix("\r\n")
        if not answer.startswith(("+", ":")):
            raise RuntimeError(f"Redis answered {' '.join(words)} with {answer!r}")
        return answer[1:]

    def command(self) -> Sequence[str]:
        """The server with its settings."""
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self._socket),
            "dir": str(self.data),
            "daemonize": "no",
            **self._settings,
        }
        return [self._program, *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def is_ready(self, pid: int) -> bool:
        """Whether it answers; the socket in the folder is its own, and comes after the port."""
        with suppress(OSError, RuntimeError):
            return self.ask("PING") == "PONG"
        return False

    @property
    def _socket(self) -> Path:
        return self.folder / "redis.sock"


@contextmanager
def redis_server(settings: Mapping[str, str] = STURDY) -> Iterator[RedisServer]:
    """A running Redis server in a temporary folder, gone with everything in it afterwards.

    :raises ServerMissing: when no server is installed.
    """
    redis_program()
    with temporary(lambda folder: RedisServer(folder, settings), "redis") as server:
        yield server


def redis_program() -> str:
    """The server's program.

    :raises ServerMissing: when there is none.
    """
    if (found := shutil.which("redis-server")) is None:
        raise ServerMissing("Redis", "redis-server")
    return found


def _request(words: Sequence[str]) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
