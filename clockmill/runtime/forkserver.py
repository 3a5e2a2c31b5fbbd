"""A small single-threaded process below a supervisor that forks one child per attempt, and reaps it.

It is the parent of every process of its attempts, also of those whose own parent died, so that an attempt is reported
as ended only when nothing of it is left. What a child does, each kind of it says for itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from clockmill import probes
from clockmill.host import processes, sockets

_MESSAGE_BYTES = 65536
_OUR_SIGNALS = (signal.SIGCHLD, signal.SIGTERM)


class EnvironmentMark:
    """Writes the attempt id over the placeholder in the memory that ``/proc/PID/environ`` shows.

    A forked child has the environment block of its parent; ``setenv`` changes a copy, which only exec makes visible.
    """

    def __init__(self) -> None:
        start, end = (int(text) for text in Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47:49])
        block = ctypes.string_at(start, end - start)
        prefix = f"\0{processes.ATTEMPT_MARK}=".encode()
        offset = (b"\0" + block).find(prefix)
        self._address = start + offset + len(prefix) - 1 if offset >= 0 else None

    def write(self, attempt_id: str) -> None:
        """Show ``attempt_id`` (32 characters) as the mark of this process."""
        if self._address is not None:
            ctypes.memmove(self._address, attempt_id.encode()[:32].ljust(32), 32)


@dataclass(slots=True)
class _Ended:
    """An attempt whose task process is reaped, while other processes of it may live."""

    attempt_id: str
    status: int
    peak_kb: int
    cpu: float


@dataclass(slots=True)
class _Children:
    """The processes of attempts, by process id and by attempt."""

    attempts: dict[int, str] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)

    def add(self, pid: int, attempt_id: str) -> None:
        self.attempts[pid] = attempt_id
        self.pids[attempt_id] = pid

    def remove(self, pid: int) -> str:
        attempt_id = self.attempts.pop(pid)
        del self.pids[attempt_id]
        return attempt_id


class ForkServer(ABC):
    """Forks on demand, reaps, and tells its supervisor.

    :param link: a sequenced-packet socket to the supervisor.
    :param wake: a descriptor that is readable after SIGCHLD.
    """

    def __init__(self, link: socket.socket, wake: int) -> None:
        self._link = link
        self._wake = wake
        self._pid = os.getpid()
        self._parent = os.getppid()
        self._mark = EnvironmentMark()
        self._children = _Children()
        self._ended: list[_Ended] = []

    @abstractmethod
    def run_child(self) -> NoReturn:
        """Be the process of an attempt, right after the fork: with its own descriptors, and no other, in place."""

    def obey(self, message: dict[str, Any]) -> None:
        """Carry out an order that only this kind of process knows; there is none, unless it says so."""
        return

    def serve(self) -> None:
        """Work until the supervisor closes the link or dies, then take everything along.

        To die with the supervisor at once would leave behind what has no mark, since its parent is gone as well.
        """
        processes.outlive_parent()
        poller = select.poll()
        poller.register(self._link, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        is_linked = True
        while is_linked:
            for descriptor, _ in poller.poll():
                if descriptor == self._wake:
                    self._reap()
                else:
                    is_linked = self._receive()
        while children := processes.children_of(self._pid):
            for pid in children:
                processes.kill(pid)
            os.waitpid(-1, 0)

    def tell(self, message: dict[str, Any]) -> None:
        """Say something to the supervisor."""
        with suppress(OSError):  # a dead supervisor is noticed by the closed link
            self._link.send(json.dumps(message).encode())

    # --- orders ---------------------------------------------------------------------------------------------------

    def _receive(self) -> bool:
        """Carry out one order; False when there will be no more."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._link, _MESSAGE_BYTES, 2, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        if not data:
            return False
        message = json.loads(data)
        match message["op"]:
            case "fork":
                self._fork(message["id"], *descriptors, is_watched=message.get("watch", False))
            case "signal":
                if pid := self._children.pids.get(message["id"]):
                    processes.signal_group(pid, message["signal"])
            case "greet":
                self.tell({"op": "ready", "problem": ""})
            case _:
                self.obey(message)
        return True

    def _fork(self, attempt_id: str, control: int, output: int, *, is_watched: bool) -> None:
        probes.probe("zygote.fork.before")
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            self.tell({"op": "failed", "id": attempt_id, "problem": error.strerror})
        if pid == 0:
            self._be_child(attempt_id, control, output)
        os.close(control)
        os.close(output)
        if pid > 0:
            self._children.add(pid, attempt_id)
            if is_watched:
                self.tell({"op": "forked", "id": attempt_id, "pid": pid, "reaper": self._pid})

    def _be_child(self, attempt_id: str, control: int, output: int) -> NoReturn:
        try:
            self._mark.write(attempt_id)
            os.setsid()
            processes.die_with_parent(self._pid)
            signal.set_wakeup_fd(-1)
            for number in _OUR_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.dup2(control, processes.CONTROL_FD, inheritable=False)
            os.closerange(processes.CONTROL_FD + 1, os.sysconf("SC_OPEN_MAX"))
            self.run_child()
        finally:
            os._exit(1)

    # --- ends -----------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        os.read(self._wake, 4096)
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                dead = None
            if dead is None:
                break
            self._bury(dead.si_pid)
        if self._ended:
            self._report_ended()

    def _bury(self, pid: int) -> None:
        if pid not in self._children.attempts:
            os.waitpid(pid, 0)
            return
        # Before the leader is reaped its process id cannot belong to anybody else, so the group is still its own.
        processes.signal_group(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        attempt_id = self._children.remove(pid)
        self._ended.append(_Ended(attempt_id, status, usage.ru_maxrss, usage.ru_utime + usage.ru_stime))

    def _report_ended(self) -> None:
        """Report the attempts of which no process is left; kill what is left of the others."""
        busy = {self._kill_stray(pid) for pid in self._strays()}
        waiting = []
        for ended in self._ended:
            if ended.attempt_id in busy or None in busy:
                waiting.append(ended)
            else:
                self.tell(
                    {
                        "op": "ended",
                        "id": ended.attempt_id,
                        "status": ended.status,
                        "peak_kb": ended.peak_kb,
                        "cpu": ended.cpu,
                    }
                )
        self._ended = waiting

    def _strays(self) -> list[int]:
        """Children that are no task processes: what attempts left behind, or have daemonised."""
        known = self._children.attempts.keys()
        while True:
            found = processes.children_of(os.getpid())
            if known <= found:  # a child that died during the look can hide others from it
                return [pid for pid in found if pid not in known]

    def _kill_stray(self, pid: int) -> str | None:
        """Kill a process unless a live attempt owns it; returns the attempt that it holds up, if it can be told."""
        mark = processes.mark_of(pid, processes.ATTEMPT_MARK)
        if mark in self._children.pids or processes.session_of(pid) in self._children.attempts:
            return ""
        processes.kill(pid)
        return mark if any(ended.attempt_id == mark for ended in self._ended) else None


def take_over() -> tuple[socket.socket, int]:
    """Begin as a child of a supervisor: returns the link to it, and a descriptor that is readable after SIGCHLD."""
    processes.die_with_parent(int(sys.argv[1]))
    processes.adopt_orphans()
    probes.arm_from_environment()
    link = sockets.take_standard_input()
    wake = processes.wake_on_signals(signal.SIGCHLD)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return link, wake
