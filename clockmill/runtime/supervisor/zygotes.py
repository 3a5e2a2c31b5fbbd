"""The zygotes of a supervisor: a base one that is always there, and preloaded ones for busy DAG files.

Where each attempt gets a fresh interpreter, a launcher takes the place of the base one, and nothing is preloaded.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clockmill.clock import Clock
from clockmill.host import processes
from clockmill.protocols import Workload
from clockmill.runtime.supervisor.loop import READ, WRITE, Loop
from clockmill.runtime.supervisor.memory import asked_memory

FileKey = tuple[str, str]
#: How attempts are started -> the program that does it.
STARTERS = {"zygote": "clockmill.runtime.zygote", "fresh": "clockmill.runtime.launcher"}

_MESSAGE_BYTES = 65536
#: So many attempts of one file within so many seconds make it busy.
_BUSY_COUNT = 3
_BUSY_SECONDS = 60.0
_MAX_PRELOADED = 4
_LOAD_SECONDS = 30.0
#: A preloaded zygote without work is let go after so many seconds.
_IDLE_SECONDS = 300.0
_RESTART_SECONDS = 0.2
_MAX_RESTART_SECONDS = 10.0


class Zygote:
    """The supervisor's end of one zygote process.

    :param program: the module that it runs, and what that is told.
    :param key: bundle and file that it has loaded, None for the base zygote.
    """

    def __init__(
        self, loop: Loop, supervisor_id: str, program: list[str], key: FileKey | None, heard: Callable[[Zygote], None]
    ) -> None:
        self.key = key
        self.attempts: set[str] = set()
        self.is_ready = False
        self.used_at = 0.0
        self._loop = loop
        self._waiting: deque[tuple[bytes, Sequence[int]]] = deque()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.pid = _spawn(program, supervisor_id, theirs.fileno())
        ours.setblocking(False)
        self._link = ours
        loop.watch(ours.fileno(), READ, lambda ready: self._serve(ready, heard))

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message; the descriptors are ours to close."""
        self._waiting.append((json.dumps(message).encode(), descriptors))
        if len(self._waiting) == 1:
            self._flush()

    def receive(self) -> list[dict[str, Any]] | None:
        """What the zygote said since the last call, or None when it is gone."""
        messages: list[dict[str, Any]] = []
        while True:
            try:
                data = self._link.recv(_MESSAGE_BYTES)
            except BlockingIOError:
                return messages
            except OSError:
                return None
            if not data:
                return messages or None
            messages.append(json.loads(data))

    def close(self) -> None:
        """Close the link; a zygote that notices it ends its children and leaves."""
        self._loop.forget(self._link.fileno())
        self._link.close()
        while self._waiting:
            _close(self._waiting.popleft()[1])

    def _serve(self, ready: int, heard: Callable[[Zygote], None]) -> None:
        if ready & WRITE:
            self._flush()
        if ready & READ:
            heard(self)

    def _flush(self) -> None:
        while self._waiting:
            data, descriptors = self._waiting[0]
            try:
                socket.send_fds(self._link, [data], descriptors)
            except BlockingIOError:
                break
            except OSError:  # it is dead: the loop will read that from the link
                pass
            _close(descriptors)
            self._waiting.popleft()
        self._loop.change(self._link.fileno(), READ | WRITE if self._waiting else READ)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _spawn(program: list[str], supervisor_id: str, link: int) -> int:
    environment = processes.clean_environment(os.environ.items())
    # The room in which a child writes its own id, so that /proc shows it: see runtime.forkserver.
    environment[processes.ATTEMPT_MARK] = processes.NO_ATTEMPT
    environment[processes.SUPERVISOR_MARK] = supervisor_id
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", program[0], str(os.getpid()), *program[1:]],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, link, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)],
    )


@dataclass(slots=True)
class _Use:
    """How busy one DAG file is."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=_BUSY_COUNT))
    refused: bool = False


class ZygotePool:
    """Chooses the zygote for each attempt and keeps the zygotes alive.

    :param starter: which of :data:`STARTERS` starts attempts.
    :param stays: whether processes may serve several attempts.
    :param on_message: called with each message about an attempt.
    :param on_loss: called with the ids of the attempts whose zygote died; their processes may still be dying.
    """

    def __init__(
        self,
        loop: Loop,
        clock: Clock,
        supervisor_id: str,
        *,
        starter: str,
        stays: bool,
        on_message: Callable[[dict[str, Any]], None],
        on_loss: Callable[[set[str]], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._supervisor_id = supervisor_id
        self._program = [STARTERS[starter], *(["clockmill.runtime.warm"] if stays else [])]
        self._is_fresh = starter == "fresh"
        self._on_message = on_message
        self._on_loss = on_loss
        self._uses: dict[FileKey, _Use] = {}
        self._preloaded: dict[FileKey, Zygote] = {}
        self._by_attempt: dict[str, Zygote] = {}
        self._pids: set[int] = set()
        self._dying: set[int] = set()
        self._deaths = 0
        self._restart_at = 0.0
        self._base: Zygote | None = self._new_base()

    def fork(self, workload: Workload, control: int, output: int) -> bool:
        """Start a process for an attempt; False when there is no zygote at the moment.

        :param control: the descriptor that becomes the control socket of the process; taken over.
        :param output: the descriptor that becomes its standard output and error; taken over.
        """
        zygote = self._choose(workload)
        if zygote is None:
            return False
        zygote.attempts.add(workload.attempt_id)
        self._by_attempt[workload.attempt_id] = zygote
        order: dict[str, Any] = {"op": "fork", "id": workload.attempt_id}
        if asked_memory(workload) is not None:
            order["watch"] = True
        zygote.send(order, (control, output))
        return True

    @property
    def kind(self) -> str:
        """What the processes here are called."""
        return "launcher" if self._is_fresh else "zygote"

    def opening(self, workload: Workload) -> list[dict[str, Any]]:
        """What the process of an attempt is told first."""
        if not self._is_fresh:
            return [workload.to_json()]
        plan = {
            "attempt_id": workload.attempt_id,
            "bundle_path": workload.bundle_path,
            "config": workload.executor_config,
            "user": workload.run_as_user,
        }
        return [plan, workload.to_json()]

    def limits_of(self, workload: Workload) -> dict[str, Any]:
        """The part of the workload's ``executor_config`` that is made to hold."""
        return workload.executor_config if self._is_fresh else {}

    def signal(self, attempt_id: str, number: int) -> None:
        """Signal the process group of an attempt; its zygote does it, which knows that the group is still that one."""
        if zygote := self._by_attempt.get(attempt_id):
            zygote.send({"op": "signal", "id": attempt_id, "signal": number})

    @property
    def has_base(self) -> bool:
        """Whether attempts can be started now."""
        return self._base is not None

    @property
    def due(self) -> float:
        """When :meth:`check` next has something to do."""
        restart = self._restart_at if self._base is None else math.inf
        return min([restart, *(self._expiry(zygote) for zygote in self._preloaded.values())])

    def check(self, now: float) -> None:
        """Replace a base zygote that died, later each time that it happens again; let go of those past their time."""
        if self._base is None and now >= self._restart_at:
            self._base = self._new_base()
        for zygote in [zygote for zygote in self._preloaded.values() if self._expiry(zygote) <= now]:
            if not zygote.is_ready:
                self._refuse(zygote)
                processes.kill(zygote.pid)
            self._drop(zygote)

    def reap(self) -> bool:
        """Collect dead children; True when no zygote is dying and nothing that one left behind is left."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._pids.discard(pid)
            self._dying.discard(pid)
        strays = processes.children_of(os.getpid()) - self._pids
        for pid in strays:
            processes.kill(pid)
        # A zygote closes its link a moment before the kernel gives its children to us.
        return not strays and not self._dying

    def close(self) -> None:
        """Let all zygotes go; they take their children with them."""
        for zygote in [*self._preloaded.values(), *([self._base] if self._base else [])]:
            zygote.close()
        self._preloaded.clear()
        self._base = None

    def _choose(self, workload: Workload) -> Zygote | None:
        if self._is_fresh:
            return self._base
        key = (workload.bundle, workload.file)
        now = self._clock.monotonic()
        zygote = self._preloaded.get(key)
        if zygote is None and self._is_busy(key, now):
            zygote = self._preload(key, Path(workload.bundle_path))
        if zygote is None or not zygote.is_ready:
            return self._base
        zygote.used_at = now
        return zygote

    def _expiry(self, zygote: Zygote) -> float:
        """When a preloaded zygote has been loading, or idle, for too long."""
        if not zygote.is_ready:
            return zygote.used_at + _LOAD_SECONDS
        return math.inf if zygote.attempts else zygote.used_at + _IDLE_SECONDS

    def _is_busy(self, key: FileKey, now: float) -> bool:
        if len(self._uses) > 1000:
            self._uses.clear()
        use = self._uses.setdefault(key, _Use())
        use.times.append(now)
        return not use.refused and len(use.times) == _BUSY_COUNT and now - use.times[0] <= _BUSY_SECONDS

    def _preload(self, key: FileKey, root: Path) -> Zygote | None:
        if len(self._preloaded) >= _MAX_PRELOADED and not self._retire_one():
            return None
        zygote = self._new(key)
        zygote.send({"op": "load", "root": str(root), "file": key[1]})
        self._preloaded[key] = zygote
        return zygote

    def _retire_one(self) -> bool:
        idle = [zygote for zygote in self._preloaded.values() if not zygote.attempts and zygote.is_ready]
        if not idle:
            return False
        self._drop(min(idle, key=lambda zygote: zygote.used_at))
        return True

    def _drop(self, zygote: Zygote) -> None:
        zygote.close()
        if zygote is self._base:
            self._base = None
        elif zygote.key is not None:
            self._preloaded.pop(zygote.key, None)

    def _new_base(self) -> Zygote:
        zygote = self._new(None)
        zygote.send({"op": "greet"})
        return zygote

    def _new(self, key: FileKey | None) -> Zygote:
        zygote = Zygote(self._loop, self._supervisor_id, self._program, key, self._heard)
        self._pids.add(zygote.pid)
        zygote.used_at = self._clock.monotonic()
        return zygote

    def _heard(self, zygote: Zygote) -> None:
        messages = zygote.receive()
        if messages is None:
            self._lost(zygote)
            return
        for message in messages:
            if message["op"] == "ready":
                self._ready(zygote, message["problem"])
            elif message["op"] == "forked":
                self._on_message(message)
            else:
                self._ended(zygote, message)

    def _ready(self, zygote: Zygote, problem: str) -> None:
        if not problem:
            zygote.is_ready = True
            self._deaths = self._deaths if zygote.key else 0
        else:
            self._refuse(zygote)
            self._drop(zygote)

    def _refuse(self, zygote: Zygote) -> None:
        """Preload that file no more: its attempts import it themselves."""
        if zygote.key is not None:
            self._uses.setdefault(zygote.key, _Use()).refused = True

    def _ended(self, zygote: Zygote, message: dict[str, Any]) -> None:
        zygote.attempts.discard(message["id"])
        self._by_attempt.pop(message["id"], None)
        self._on_message(message)

    def _lost(self, zygote: Zygote) -> None:
        if zygote.key is None:
            self._restart_at = self._clock.monotonic() + min(_RESTART_SECONDS * self._deaths**2, _MAX_RESTART_SECONDS)
            self._deaths += 1
        elif not zygote.is_ready:
            self._refuse(zygote)
        if zygote.pid in self._pids:
            self._dying.add(zygote.pid)
        self._drop(zygote)
        for attempt_id in zygote.attempts:
            self._by_attempt.pop(attempt_id, None)
        self._on_loss(zygote.attempts)
