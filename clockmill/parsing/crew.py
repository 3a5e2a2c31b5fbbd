"""The service's end of the parsing process: start it when there is work, feed it, let it go when it is idle."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from clockmill.host import processes
from clockmill.host.sweeping import Sweep
from clockmill.host.wire import FrameReader, encode
from clockmill.ids import new_token
from clockmill.parsing.child import Job
from clockmill.parsing.results import ParseResult, failure

_READ_BYTES = 1 << 18
_LOOK_SECONDS = 0.25
_END_SECONDS = 2.0
#: Beyond the time limit of a file the parsing process says something; one that is silent for longer, in seconds, hangs.
_SILENCE_SECONDS = 5.0
#: Seconds that it may take to begin, on a machine that has other things to do; no file is to blame for that.
_START_SECONDS = 60.0


class WorkerDied(Exception):
    """The parsing process is gone, or hangs, in the middle of its work."""


@dataclass
class _Work:
    """The files of one call: waiting, in flight, suspected of having killed the parsing process, done."""

    waiting: deque[tuple[int, str]]
    in_flight: dict[int, str] = field(default_factory=dict)
    suspects: deque[tuple[int, str]] = field(default_factory=deque)
    done: dict[int, ParseResult] = field(default_factory=dict)
    next_told: int = 0
    is_on_trial: bool = False

    @property
    def is_left(self) -> bool:
        return bool(self.waiting or self.in_flight or self.suspects)

    def take(self, at_once: int) -> Iterator[tuple[int, str]]:
        """The files to hand over now. A suspect goes alone, so that nobody else is blamed for what it does."""
        if self.suspects or self.is_on_trial:
            if not self.in_flight and self.suspects:
                self.is_on_trial = True
                yield self._sent(self.suspects.popleft())
            return
        while self.waiting and len(self.in_flight) < at_once:
            yield self._sent(self.waiting.popleft())

    def _sent(self, item: tuple[int, str]) -> tuple[int, str]:
        self.in_flight[item[0]] = item[1]
        return item

    def finish(self, results: Iterable[tuple[int, ParseResult]]) -> None:
        for number, result in results:
            if self.in_flight.pop(number, None) is not None:
                self.done[number] = result
                self.is_on_trial = False

    def start_over(self) -> None:
        """The parsing process died with what was in flight."""
        if self.is_on_trial:
            reason = "Importing the file killed or stopped the parsing process."
            self.finish([(number, failure(file, reason)) for number, file in self.in_flight.items()])
        self.suspects.extend(self.in_flight.items())
        self.in_flight.clear()

    def finished(self) -> Iterator[ParseResult]:
        """What is done and not told yet, in order."""
        while self.next_told in self.done:
            yield self.done.pop(self.next_told)
            self.next_told += 1


class ParsingCrew:
    """Parses files in a process of its own.

    :param at_once: how many files are in flight.
    :param timeout: seconds for one file.
    :param memory_mb: for one file.
    :param max_document_mb: for one DAG.
    :param max_map_length: how many instances the lists in a file may ask for.
    :param executors: those that tasks may name, as ``[core] executor`` has them.
    """

    def __init__(
        self,
        at_once: int,
        *,
        timeout: float,
        memory_mb: int,
        max_document_mb: int,
        max_map_length: int = 10_000,
        executors: str = "local",
    ) -> None:
        self._at_once = at_once
        self._limits = Job(
            id=0,
            root="",
            file="",
            timeout=timeout,
            memory_mb=memory_mb,
            max_document_mb=max_document_mb,
            max_map_length=max_map_length,
            executors=executors,
        )
        self._positions: Mapping[str, Mapping[str, str]] = {}
        self._idle_since: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._reader = FrameReader()
        self._mark = ""
        self._silent_looks = 0
        self._has_begun = False

    def parse(
        self,
        root: Path,
        files: Iterable[str],
        is_stopped: Callable[[], bool],
        *,
        now: str = "",
        positions: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Iterator[ParseResult]:
        """The outcome of each file, in their order.

        :param is_stopped: looked at now and then; ends the work early.
        :param now: see :class:`~clockmill.parsing.child.Job`.
        :param positions: the positions of a job, by file.
        """
        self._limits = replace(self._limits, now=now)
        self._positions = positions or {}
        self._idle_since = None
        work = _Work(deque(enumerate(files)))
        try:
            while work.is_left and not is_stopped():
                for number, file in work.take(self._at_once):
                    self._submit(number, root, file)
                try:
                    work.finish(self._receive())
                except WorkerDied:
                    self.stop()
                    work.start_over()
                yield from work.finished()
        finally:
            if work.in_flight:  # nobody waits for it any more
                self.stop()

    def leave_when_idle(self, now: float, patience: float) -> None:
        """End the parsing process when it had nothing to do for long enough; the next file starts a new one.

        :param now: monotonic seconds.
        :param patience: seconds.
        """
        if self._process is None:
            return
        self._idle_since = now if self._idle_since is None else self._idle_since
        if now - self._idle_since >= patience:
            self.stop()

    def stop(self) -> None:
        """End the parsing process, and with it what it is at."""
        if self._link is not None:
            self._link.close()  # which it takes as a request to end, and to leave nothing behind
            self._link = None
        if self._process is not None:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.returncode != 0:
                self._sweep()
            self._process = None

    def _sweep(self) -> None:
        """Kill what a parsing process that was killed itself could not take along."""
        sweep = Sweep(self._mark, processes.PARSER_MARK)
        for _ in range(int(_END_SECONDS / _LOOK_SECONDS)):
            if sweep.step():
                break
            select.select(sweep.filenos(), [], [], _LOOK_SECONDS)
        sweep.close()

    def _submit(self, number: int, root: Path, file: str) -> None:
        if self._link is None:
            self._start()
        assert self._link is not None
        positions = self._positions.get(file, {})
        job = replace(self._limits, id=number, root=str(root), file=file, positions=positions)
        with contextlib.suppress(OSError):  # its death is noticed when its answer is awaited
            self._link.sendall(encode([asdict(job)]))

    def _receive(self) -> list[tuple[int, ParseResult]]:
        assert self._link is not None
        if not select.select([self._link], [], [], _LOOK_SECONDS)[0]:
            self._silent_looks += 1
            longest = self._limits.timeout + _SILENCE_SECONDS if self._has_begun else _START_SECONDS
            if self._silent_looks * _LOOK_SECONDS > longest:
                raise WorkerDied
            return []
        self._silent_looks = 0
        try:
            data = self._link.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            raise WorkerDied
        messages = self._reader.feed(data)
        self._has_begun = True
        return [(message["id"], ParseResult.from_json(message["result"])) for message in messages if "id" in message]

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = processes.clean_environment(os.environ.items())
        # A file that walks through a set must give the same document each time.
        environment["PYTHONHASHSEED"] = "0"
        environment[processes.PARSER_MARK] = self._mark = new_token()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "clockmill.parsing.worker", str(os.getpid())],
                stdin=theirs.fileno(),
                env=environment,
            )
        self._link = ours
        self._reader = FrameReader()
        self._silent_looks = 0
        self._has_begun = False
