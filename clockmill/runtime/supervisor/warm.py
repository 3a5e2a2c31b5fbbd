"""Task processes that ended an attempt well and wait for the next one of the same DAG file."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from clockmill.clock import Clock
from clockmill.protocols import Workload
from clockmill.runtime.supervisor.attempt import Attempt
from clockmill.runtime.supervisor.loop import Loop, Outbox
from clockmill.runtime.supervisor.memory import asked_memory

#: A process that has waited for so many seconds is let go.
IDLE_SECONDS = 30.0

#: What all attempts of one process have in common: bundle, file, user.
_Kind = tuple[str, str, str | None]


@dataclass(slots=True, eq=False)
class WarmProcess:
    """A process without an attempt.

    :param name: the attempt that it was started for, by which its zygote knows it.
    :param served: how many attempts it has served.
    :param cpu: processor seconds of those.
    :param since: from when on it waits.
    """

    name: str
    kind: _Kind
    control: int
    outbox: Outbox
    served: int
    cpu: float
    since: float

    def take(self, data: bytes) -> int | None:
        """Hand over the next workload; returns the end of its output to read, None when the process takes nothing."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=self.control)
        try:
            output, writer = os.pipe2(os.O_CLOEXEC)
        except OSError:
            link.detach()
            return None
        try:
            sent = socket.send_fds(link, [data], [writer])
            if rest := data[sent:]:
                self.outbox.put(rest)
        except OSError:
            os.close(output)
            return None
        finally:
            link.detach()
            os.close(writer)
        return output


class WarmPool:
    """The processes that wait.

    :param most: how many attempts a process may serve in all.
    :param places: how many processes there may be, waiting or not.
    :param end: called with the name of a process that nobody needs any more.
    """

    def __init__(self, loop: Loop, clock: Clock, *, most: int, places: int, end: Callable[[str], object]) -> None:
        self._loop = loop
        self._clock = clock
        self._most = most
        self._places = places
        self._end = end
        self._waiting: list[WarmProcess] = []  # the one that has waited longest first
        self._serving: dict[str, str] = {}

    def may_stay(self, workload: Workload, served: int = 0) -> bool:
        """Whether a process that has served so many attempts may serve one more after this one."""
        return served + 1 < self._most and _may_share(workload)

    def take(self, workload: Workload) -> WarmProcess | None:
        """A process for this attempt, the one that has waited least; None when there is none."""
        if not self._waiting or not _may_share(workload):
            return None
        kind = _kind(workload)
        for process in reversed(self._waiting):
            if process.kind == kind:
                self._waiting.remove(process)
                return process
        return None

    def serves(self, process: WarmProcess, attempt_id: str) -> None:
        """That process has this attempt now."""
        self._serving[process.name] = attempt_id

    def attempt_of(self, name: str) -> str:
        """The attempt that a process has, or had last."""
        return self._serving.get(name, name)

    def keep(self, attempt: Attempt, cpu: float) -> None:
        """Have the process of an attempt that is over wait for another one; ``cpu`` are the seconds that it took."""
        process = WarmProcess(
            name=attempt.process,
            kind=_kind(attempt.workload),
            control=attempt.control,
            outbox=attempt.outbox,
            served=attempt.served + 1,
            cpu=attempt.cpu_before + cpu,
            since=self._clock.monotonic(),
        )
        self._loop.rebind(process.control, lambda ready: self._spoke(process))
        self._waiting.append(process)

    def gone(self, name: str) -> None:
        """That process is no more."""
        self._serving.pop(name, None)
        for process in [process for process in self._waiting if process.name == name]:
            self._forget(process)

    def make_room(self, busy: int) -> None:
        """Let the one that has waited longest go when there is no place for one more process."""
        if self._waiting and busy + len(self._waiting) >= self._places:
            self.retire(self._waiting[0])

    @property
    def due(self) -> float:
        """When :meth:`check` next has something to do."""
        return self._waiting[0].since + IDLE_SECONDS if self._waiting else math.inf

    def check(self, now: float) -> None:
        """Let those go that have waited for too long."""
        while self._waiting and self._waiting[0].since + IDLE_SECONDS <= now:
            self.retire(self._waiting[0])

    def retire(self, process: WarmProcess) -> None:
        """Let a process go."""
        self._forget(process)
        self._end(process.name)

    def close(self) -> None:
        """Let all go."""
        for process in list(self._waiting):
            self.retire(process)

    def _spoke(self, process: WarmProcess) -> None:
        # There is nothing that it could have to say: it is dead, or was never what it said it was.
        if process in self._waiting:
            self.retire(process)

    def _forget(self, process: WarmProcess) -> None:
        if process in self._waiting:
            self._waiting.remove(process)
        self._loop.forget(process.control)
        os.close(process.control)


def _may_share(workload: Workload) -> bool:
    """Whether an attempt may have a process that serves others too; one that asked for memory is to use its own."""
    return workload.callback is None and asked_memory(workload) is None


def _kind(workload: Workload) -> _Kind:
    return (workload.bundle, workload.file, workload.run_as_user)
