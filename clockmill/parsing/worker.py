"""The parsing process: a small, preloaded parent that forks one child for each DAG file.

Run as ``python -m clockmill.parsing.worker PARENT_PID`` with a stream socket as standard input, on which jobs come in
and results go out. It never imports a DAG file itself: a child that loops, eats memory or kills itself harms nobody.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import loads

from clockmill import serde
from clockmill.clock import SystemClock
from clockmill.host import processes, sockets, wire
from clockmill.host.sweeping import brand
from clockmill.model.dag import DAG
from clockmill.operators.empty import EmptyOperator
from clockmill.operators.python import PythonOperator
from clockmill.parsing.child import Job, run, too_slow
from clockmill.parsing.dependencies import Folder
from clockmill.parsing.results import ParseResult, failure

#: What DAG files usually import, loaded once for all of them.
PRELOADED = (
    "clockmill.operators.bash",
    "clockmill.operators.branch",
    "clockmill.operators.decorators",
    "clockmill.timetables",
    "csv",
    "logging",
    "subprocess",
    "zoneinfo",
)

_READ_BYTES = 1 << 18
#: A file whose time is up says itself where it was; one that cannot, because it is blocked in C, is killed then.
_LAST_WORD_SECONDS = 1.0
#: A result larger than this is refused, whatever the size of one document may be.
_LARGEST_RESULT = 192 << 20


@dataclass
class _Child:
    job: Job
    pid: int
    output: int
    deadline: float
    data: bytearray = field(default_factory=bytearray)
    killed_for: str = ""


class Worker:
    """Takes jobs, forks, watches the clock, reaps, answers.

    :param link: the socket to the service.
    :param wake: a descriptor that is readable after SIGCHLD.
    """

    def __init__(self, link: socket.socket, wake: int) -> None:
        self._link = link
        self._wake = wake
        self._clock = SystemClock()
        self._reader = wire.FrameReader()
        self._children: dict[int, _Child] = {}
        self._folder = Folder("")

    def serve(self) -> None:
        """Work until the service closes the link; what is running then is killed."""
        poller = select.poll()
        poller.register(self._link, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        is_linked = True
        while is_linked:
            for descriptor, _ in poller.poll(self._patience()):
                if descriptor == self._wake:
                    os.read(self._wake, 4096)
                elif descriptor == self._link.fileno():
                    is_linked = self._receive(poller)
                else:
                    self._drain(poller, self._by_output(descriptor))
            self._kill_late()
            self._reap(poller)
        for running in self._children.values():
            processes.signal_group(running.pid, signal.SIGKILL)
        _kill_strays()

    def _patience(self) -> float | None:
        """Milliseconds until the next deadline; None when there is none."""
        nearest = min((child.deadline for child in self._children.values() if not child.killed_for), default=None)
        return None if nearest is None else max(0.0, nearest - self._clock.monotonic()) * 1000 + 1

    def _receive(self, poller: select.poll) -> bool:
        try:
            data = self._link.recv(_READ_BYTES)
        except OSError:
            return False
        for message in self._reader.feed(data):
            self._start(poller, Job(**message))
        return bool(data)

    def _start(self, poller: select.poll, job: Job) -> None:
        if self._folder.root != job.root:
            self._folder = Folder(job.root)
            self._folder.read()
        reader, writer = os.pipe2(os.O_CLOEXEC)
        own_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(reader)
            os.close(writer)
            self._answer(job, failure(job.file, f"No process could be started for the file: {error.strerror}."))
            return
        if pid == 0:
            self._link.close()
            os.close(reader)
            run(job, self._folder, writer, own_pid)
        os.close(writer)
        os.set_blocking(reader, False)
        self._children[pid] = _Child(job, pid, reader, self._clock.monotonic() + job.timeout + _LAST_WORD_SECONDS)
        poller.register(reader, select.POLLIN)

    def _by_output(self, descriptor: int) -> _Child:
        return next(running for running in self._children.values() if running.output == descriptor)

    def _drain(self, poller: select.poll, running: _Child) -> None:
        """Take in what the child has written so far."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(running.output, _READ_BYTES):
                running.data += data
                if len(running.data) > _LARGEST_RESULT:
                    self._kill(running, "The DAGs of the file are too large to be stored together; use several files.")
                    return
            with contextlib.suppress(KeyError):
                poller.unregister(running.output)

    def _kill_late(self) -> None:
        now = self._clock.monotonic()
        for running in self._children.values():
            if running.deadline <= now and not running.killed_for:
                self._kill(running, too_slow(running.job))

    def _kill(self, running: _Child, reason: str) -> None:
        running.killed_for = reason
        processes.signal_group(running.pid, signal.SIGKILL)

    def _reap(self, poller: select.poll) -> None:
        for running in list(self._children.values()):
            ended = os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                continue
            # What is left of its group, while its id is still its own.
            processes.signal_group(running.pid, signal.SIGKILL)
            _, status = os.waitpid(running.pid, 0)
            self._drain(poller, running)
            with contextlib.suppress(KeyError):
                poller.unregister(running.output)
            os.close(running.output)
            del self._children[running.pid]
            self._answer(running.job, self._outcome(running, status))
        if not self._children:
            _kill_strays()

    def _outcome(self, running: _Child, status: int) -> ParseResult:
        """What the child said, or what can be said about a child that said nothing."""
        file = running.job.file
        if running.killed_for:
            return failure(file, running.killed_for)
        try:
            said = loads(running.data)
            result = ParseResult.from_json(said["result"])
        except (ValueError, KeyError, TypeError):
            return failure(file, _last_words(status))
        if running.job.root == self._folder.root:
            self._folder.known_sources |= said["sources"]
        return result

    def _answer(self, job: Job, result: ParseResult) -> None:
        with contextlib.suppress(OSError):  # a service that is gone is noticed by the closed link
            self._link.sendall(wire.encode([{"id": job.id, "result": result.to_json()}]))


def _last_words(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"Importing the file killed its process by signal {number} ({signal.strsignal(number)})."
    return f"Importing the file ended its process with exit code {os.WEXITSTATUS(status)}."


def _kill_strays() -> None:
    """Kill what imports have left behind in sessions of their own."""
    while strays := processes.children_of(os.getpid()):
        for pid in strays:
            processes.kill(pid)
            os.waitpid(pid, 0)


def _preload() -> None:
    """Load and use once what every file uses, so that no child pays for it again."""
    for name in PRELOADED:
        importlib.import_module(name)
    with DAG("warm_up", schedule="@daily", start_date=datetime(2024, 1, 1, tzinfo=UTC), tags=["x"]) as dag:
        _ = EmptyOperator(task_id="a") >> PythonOperator(task_id="b", python_callable=_preload)
    dag.validate()
    serde.dumps(serde.encode(dag))
    gc.collect()
    gc.disable()
    gc.freeze()


def main() -> None:
    """Take over the link and serve."""
    processes.die_with_parent(int(sys.argv[1]))
    processes.adopt_orphans()
    brand(os.environ[processes.PARSER_MARK])
    link = sockets.take_standard_input()
    wake = processes.wake_on_signals(signal.SIGCHLD)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _preload()
    with contextlib.suppress(OSError):  # a service that is gone is noticed by the closed link
        link.sendall(wire.encode([{"op": "ready"}]))
    Worker(link, wake).serve()


if __name__ == "__main__":
    main()
