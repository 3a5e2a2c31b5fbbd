"""One attempt as its supervisor sees it: what it waits for, and how its end is named."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from clockmill.host.wire import FrameReader
from clockmill.logs.writer import LogWriter
from clockmill.protocols import AttemptReport, Workload
from clockmill.runtime.supervisor.limits import blames_memory, cpu_is_over, memory_note
from clockmill.runtime.supervisor.loop import Outbox
from clockmill.runtime.supervisor.memory import asked_memory
from clockmill.state.resources import spoken_size

#: An attempt that is over sooner is reported by its end alone.
TELL_STARTED_AFTER = 0.1
#: User code that has run for so long, in seconds, is past its beginning.
SETTLE = 0.02
#: An attempt that takes longer than this to start or to end does not hold up others, in seconds.
START_LIMIT = 1.0
#: Seconds to reach the user's code; importing a DAG file that hangs must not hold a slot for ever.
LOAD_LIMIT = 300.0
#: The largest message accepted from a task process, in bytes: all its XComs travel in one.
MAX_TASK_MESSAGE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Ending:
    """Why we end an attempt ourselves."""

    outcome: Literal["failed", "stopped", "released", "lost"]
    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    """What the kernel said about the process of an attempt.

    :param status: the wait status.
    :param peak_kb: the largest resident set, kilobytes.
    :param cpu: user and system time, seconds.
    """

    status: int
    peak_kb: int
    cpu: float

    @property
    def code(self) -> int | None:
        """The exit code, or None when a signal ended the process."""
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None

    @property
    def signal(self) -> int | None:
        """The signal that ended the process, or None when it exited."""
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else None

    def after(self, cpu: float) -> Exit:
        """The same end without the processor seconds of what the process did before."""
        return replace(self, cpu=max(0.0, self.cpu - cpu)) if cpu else self

    def at_least(self, peak_kb: int) -> Exit:
        """With the peak that all processes together were seen with, when that is more."""
        return replace(self, peak_kb=peak_kb) if peak_kb > self.peak_kb else self

    def describe(self) -> str:
        """``exit code 0`` or ``killed by SIGKILL``."""
        return f"exit code {self.code}" if self.signal is None else f"killed by {signal_name(self.signal)}"


@dataclass(frozen=True, slots=True)
class Stay:
    """What a process says that could serve another attempt: what this one has used."""

    cpu: float
    peak_kb: int

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Stay:
        """Read it.

        :raises ValueError: when it cannot be true.
        """
        cpu, peak_kb = float(told["cpu"]), int(told["peak_kb"])
        if not (0 <= cpu < math.inf and peak_kb >= 0):
            raise ValueError("it used what cannot be")
        return cls(cpu, peak_kb)


@dataclass(slots=True, eq=False)
class Attempt:
    """The record of a live attempt; instants are monotonic seconds, ``inf`` when nothing is due.

    :param limits: what of ``executor_config`` holds for its processes.
    :param tell_at: when it is worth telling that the user's code has started.
    :param limit_at: when it has taken too long.
    :param kill_at: when the grace after TERM, or after its report, is over.
    :param settled_at: when it no longer counts as starting or ending, both of which are work for the processor.
    :param may_stay: whether its process may serve another attempt after it.
    :param process: the attempt that its process was started for, by which its zygote knows that.
    :param served: how many attempts its process served before.
    :param cpu_before: processor seconds of those.
    """

    workload: Workload
    log: LogWriter
    control: int
    output: int
    outbox: Outbox
    begun: float
    limits: dict[str, Any] = field(default_factory=dict)
    reader: FrameReader = field(default_factory=lambda: FrameReader(MAX_TASK_MESSAGE_BYTES))
    started_at: str | None = None
    is_told: bool = False
    result: dict[str, Any] | None = None
    ending: Ending | None = None
    tell_at: float = math.inf
    limit_at: float = math.inf
    kill_at: float = math.inf
    settled_at: float = 0.0
    may_stay: bool = False
    process: str = ""
    served: int = 0
    cpu_before: float = 0.0

    def __post_init__(self) -> None:
        self.process = self.process or self.id
        self.limit_at = self.begun + LOAD_LIMIT
        self.settled_at = self.begun + START_LIMIT

    @property
    def id(self) -> str:
        """The attempt id."""
        return self.workload.attempt_id

    @property
    def goes_on(self) -> bool:
        """Whether neither its process nor we have put an end to it yet."""
        return self.ending is None and self.result is None

    @property
    def due(self) -> float:
        """When this attempt next needs a look."""
        return min(self.tell_at, self.limit_at, self.kill_at)

    def started(self, at: str, now: float) -> None:
        """The user's code begins."""
        self.started_at = at
        self.tell_at = now + TELL_STARTED_AFTER
        self.settled_at = now + SETTLE
        if self.ending is None:
            limit = self.workload.execution_timeout
            self.limit_at = math.inf if limit is None else now + limit

    def reported(self, result: dict[str, Any], now: float) -> None:
        """The task process has told its result; all that is left for it to do is to exit."""
        self.result = result
        self.tell_at = self.limit_at = math.inf
        self.settled_at = now + START_LIMIT
        self.kill_at = min(self.kill_at, now + self.workload.kill_grace)

    def end(self, ending: Ending, now: float) -> bool:
        """Note that we end it ourselves; False when that was decided before or its result is here already."""
        if not self.goes_on:
            return False
        self.ending = ending
        self.limit_at = math.inf
        self.kill_at = now + self.workload.kill_grace
        return True

    def overrun(self) -> Ending:
        """The ending of an attempt that has reached its limit."""
        if self.started_at is None:
            return Ending("failed", f"It did not reach the user's code within {LOAD_LIMIT:g} s.")
        limit = self.workload.execution_timeout
        return Ending("failed", f"It ran longer than its execution_timeout of {limit:g} s.")

    def conclude(self, end: Exit, now_iso: str) -> AttemptReport:
        """The report of this attempt, once all its processes are gone."""
        facts: dict[str, Any] = {
            "exit_code": end.code,
            "signal": end.signal,
            "peak_memory_kb": end.peak_kb,
            "cpu_seconds": end.cpu,
        }
        if self.ending is None and self.result is not None:
            return AttemptReport.from_json(self.result | self._identity() | facts | self._blame(end))
        outcome, reason = self._verdict(end)
        return AttemptReport(
            **self._identity(), **facts, outcome=outcome, reason=reason, started_at=self.started_at, ended_at=now_iso
        )

    def _identity(self) -> dict[str, Any]:
        return {"attempt_id": self.workload.attempt_id, "token": self.workload.token}

    def _verdict(self, end: Exit) -> tuple[str, str]:
        if self.ending is not None:
            return self.ending.outcome, self.ending.reason
        if end.signal is None:
            return "failed", self._with_memory(f"It exited with code {end.code} before it reported.", end)
        if reason := cpu_is_over(self.limits, end.signal, end.cpu):
            return "failed", reason
        note, asked = memory_note(self.limits), asked_memory(self.workload)
        perhaps = "perhaps out of memory" if end.signal == signal.SIGKILL or note else ""
        if asked is not None and end.signal == signal.SIGKILL:
            perhaps, note = "probably out of memory", f"it asked for {spoken_size(asked)}"
        told = f" ({': '.join(filter(None, [perhaps, note]))})" if perhaps else ""
        return "lost", f"It was killed by {signal_name(end.signal)}{told}; its peak was {megabytes(end.peak_kb)}."

    def _blame(self, end: Exit) -> dict[str, str]:
        """The reason of a task that ran against its limit of memory, with the limit and its peak."""
        reason = (self.result or {}).get("reason", "")
        return {"reason": self._with_memory(reason, end)} if blames_memory(reason) else {}

    def _with_memory(self, reason: str, end: Exit) -> str:
        note = memory_note(self.limits)
        return f"{reason.rstrip('.')} ({note}; its peak was {megabytes(end.peak_kb)})." if note else reason


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; real-time signals have no name of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def megabytes(kilobytes: int) -> str:
    """Kilobytes as people read them."""
    return f"{kilobytes / 1024:.1f} MB"
