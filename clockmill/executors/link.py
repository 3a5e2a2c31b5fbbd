"""The executor's end of one supervisor: its files, its socket, and what is known about it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clockmill.host import processes
from clockmill.host.locks import is_held, kill_holder
from clockmill.host.sockets import short_path
from clockmill.host.wire import FrameReader, Message, encode
from clockmill.ids import new_token

_READ_BYTES = 1 << 18
_BACKLOG = 16
_SEND_MILLISECONDS = 1000
#: One that leaves so many greetings unanswered gets no new work.
_SLOW_ANSWERS = 2


@dataclass(frozen=True, slots=True)
class SupervisorFiles:
    """The files of one supervisor in ``run/supervisors``.

    ``ID.lock`` is held by ``flock`` for as long as the supervisor lives; ``ID.json`` says where it runs; ``ID.sock`` is
    where it listens; ``ID.results`` holds reports that it could not deliver; ``ID.err`` is its standard error.
    """

    folder: Path
    id: str

    def path(self, kind: str) -> Path:
        """The file of that kind."""
        return self.folder / f"{self.id}.{kind}"

    def facts(self) -> dict[str, Any]:
        """What ``ID.json`` says; empty when it cannot be read."""
        try:
            facts: dict[str, Any] = json.loads(self.path("json").read_text())
        except (OSError, ValueError):
            return {}
        return facts

    def is_dead(self) -> bool:
        """Whether the lock is free: a fact of the kernel, not a guess."""
        return not is_held(self.path("lock"))

    def kill(self) -> None:
        """Kill the supervisor, which may hang. Its process id need not be known: it is whoever holds the lock."""
        with contextlib.suppress(FileNotFoundError):
            kill_holder(self.path("lock"), processes.LIFE_FD)

    def results(self) -> list[Message]:
        """The reports that the dead supervisor left."""
        try:
            return FrameReader().feed(self.path("results").read_bytes())
        except (OSError, ValueError):
            return []

    def last_words(self) -> str:
        """The last line of its standard error, or an empty text."""
        with contextlib.suppress(OSError):
            lines = self.path("err").read_text(errors="replace")[-4096:].split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def remove(self) -> None:
        """Delete all of them; the lock last, so that a crash in between leaves something to find."""
        for kind in ("sock", "results", "err", "json", "lock"):
            self.path(kind).unlink(missing_ok=True)


def home_mark(folder: Path) -> str:
    """How the ids of all supervisors of one home begin: a random name, made at first use.

    Host names do not tell homes apart: there may be several on one host, and hosts that share a name.

    :param folder: where the files of its supervisors are.
    """
    path = folder.with_name("home-mark")
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    draft = path.with_name(f".home-mark-{os.getpid()}")
    draft.write_text(new_token()[:8])
    with contextlib.suppress(FileExistsError):  # another process was faster
        path.hardlink_to(draft)
    draft.unlink()
    return path.read_text()


def find_all(folder: Path) -> list[SupervisorFiles]:
    """The supervisors that this host has files of, alive or dead."""
    here = processes.host_name()
    found = [SupervisorFiles(folder, path.stem) for path in sorted(folder.glob("*.json"))]
    return [files for files in found if files.facts().get("host", here) == here]


def launch(folder: Path, command: list[str], settings: dict[str, Any]) -> tuple[SupervisorFiles, int]:
    """Start a supervisor; returns its files and its process id.

    Lock and listening socket are made here and handed over, so there is no moment at which a live supervisor could be
    taken for a dead one or not be connected to.

    :param command: the argument vector; the first is looked for in ``PATH``.
    :param settings: what it reads from standard input; its id and results file are added.
    """
    files = SupervisorFiles(folder, f"{home_mark(folder)}-{new_token()[:12]}")
    life = os.open(files.path("lock"), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(life, fcntl.LOCK_EX)
        facts = {"id": files.id, "host": processes.host_name(), "boot_id": processes.boot_id()}
        files.path("json").write_text(json.dumps(facts))
        with socket.socket(socket.AF_UNIX) as listener:
            with short_path(files.path("sock")) as path:
                listener.bind(path)
            listener.listen(_BACKLOG)
            pid = _spawn(files, command, life, listener.fileno(), settings)
    finally:
        os.close(life)
    return files, pid


def _spawn(files: SupervisorFiles, command: list[str], life: int, listener: int, settings: dict[str, Any]) -> int:
    environment = processes.clean_environment(os.environ.items())
    for mark in (processes.ATTEMPT_MARK, processes.SUPERVISOR_MARK):
        environment.pop(mark, None)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    # Copies far from the targets: a plain dup2 could overwrite one source with another's target.
    high = [fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, 10) for source in (reader, life, listener)]
    try:
        pid = os.posix_spawnp(
            command[0],
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, high[0], 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(files.path("err")), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, high[1], processes.LIFE_FD),
                (os.POSIX_SPAWN_DUP2, high[2], processes.LISTEN_FD),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
        )
        told = settings | {"id": files.id, "results": str(files.path("results"))}
        with contextlib.suppress(BrokenPipeError):
            os.write(writer, json.dumps(told).encode())
    finally:
        for descriptor in (reader, writer, *high):
            os.close(descriptor)
    return pid


class SupervisorLink:
    """A connection to a supervisor, and what the executor knows about its slots.

    :param pid: its process id as far as known, 0 when not.
    :ivar unanswered: greetings since it was last heard of.
    :ivar verdict: why it was killed, empty when it was not.
    :raises OSError: when it cannot be connected to.
    """

    def __init__(self, files: SupervisorFiles, pid: int) -> None:
        self.files = files
        self.id = files.id
        self.pid = pid
        self.slots = 0
        self.held: set[str] = set()
        self.is_ending = False
        self.unanswered = 0
        self.verdict = ""
        self._reader = FrameReader()
        self._waiting = bytearray()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.setblocking(False)
            with short_path(files.path("sock")) as path:
                self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    @property
    def free(self) -> int:
        """How many attempts it could take now."""
        takes_none = self.is_ending or self.unanswered > _SLOW_ANSWERS
        return 0 if takes_none else max(0, self.slots - len(self.held))

    def fileno(self) -> int:
        """The descriptor of the connection."""
        return self._socket.fileno()

    def send(self, *messages: Message) -> None:
        """Send messages in one write.

        A supervisor always reads, so this waits only while it catches up; for one that is halted, at most a second,
        and the rest goes with a later call of this or :meth:`receive`.
        """
        self._waiting += encode(messages)
        self._flush()
        poller = select.poll()
        poller.register(self._socket, select.POLLOUT)
        while self._waiting and poller.poll(_SEND_MILLISECONDS) == [(self._socket.fileno(), select.POLLOUT)]:
            self._flush()

    def greet(self) -> None:
        """Say that its scheduler is there; a supervisor that does not hang answers at once."""
        self.unanswered += 1
        self.send({"op": "here"})

    def receive(self) -> tuple[list[Message], bool]:
        """What has arrived, and whether the connection is still there."""
        self._flush()
        messages: list[Message] = []
        try:
            while data := self._socket.recv(_READ_BYTES):
                self.unanswered = 0
                messages += self._reader.feed(data)
        except BlockingIOError:
            return messages, True
        except (OSError, ValueError):
            return messages, False
        return messages, False

    def close(self) -> None:
        """Close the connection; the supervisor lives on."""
        self._socket.close()

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):  # a broken connection is found by reading
            while self._waiting:
                del self._waiting[: self._socket.send(self._waiting)]
