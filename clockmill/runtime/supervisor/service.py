"""The loop of a supervisor, what it is told at its start, and when it ends."""

from __future__ import annotations

import math
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clockmill.clock import Clock
from clockmill.host.wire import Message, encode
from clockmill.protocols import AttemptReport, Workload
from clockmill.runtime.supervisor.attempt import Attempt, Ending
from clockmill.runtime.supervisor.control import ControlServer
from clockmill.runtime.supervisor.gateway import GatewayThread
from clockmill.runtime.supervisor.lease import Lease
from clockmill.runtime.supervisor.loop import Loop, wake_on_signals
from clockmill.runtime.supervisor.runner import Runner

#: Between two complaints of logs that cannot be written: each output of each task could give one.
_COMPLAINT_SECONDS = 60.0
#: Seconds that a supervisor which holds nothing waits for a scheduler, and one that leaves for acknowledgements.
_PATIENCE = 10.0
_RELEASED = Ending("released", "Its supervisor was shut down.")
#: How long it may wait, in seconds, while a lease holds: a wait stands still while the machine is suspended.
_LEASE_LOOK = 1.0
_EXPIRED = Ending("released", "Its worker could not say in time that it was still there.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the executor says on standard input.

    :param home: its working directory, and that of the tasks.
    :param results: where reports that nobody acknowledged are left at the end.
    :param orphan_grace: seconds without a scheduler after which everything is stopped.
    :param gateway: ``module:function`` that opens the task gateway from ``gateway_spec``.
    :param resources: what it offers besides slots; the scheduler sees to it that no more is asked for.
    :param max_tasks_per_process: how many attempts a forked process may serve, one after the other.
    :param max_log_bytes: how much of what an attempt writes its log takes.
    :param starter: ``zygote``: attempts are forked; ``fresh``: each gets an interpreter of its own.
    """

    id: str
    home: str
    slots: int
    results: str
    orphan_grace: float
    gateway: str
    gateway_spec: dict[str, Any]
    starter: str = "zygote"
    resources: dict[str, float] | None = None
    max_tasks_per_process: int = 1
    max_log_bytes: int = 1 << 30


class Supervisor:
    """Obeys the controlling scheduler and keeps every report until it is acknowledged."""

    def __init__(self, settings: Settings, listener: socket.socket, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._loop = Loop()
        self._reports: dict[str, Message] = {}
        self._alone_since = clock.monotonic()
        self._release_at = math.inf
        self._leave_at = math.inf
        self._is_leaving = False
        self._complain_at = 0.0
        self._lease = Lease()
        self._gateway = GatewayThread(self._loop, clock, settings.gateway, settings.gateway_spec)
        self._runner = Runner(
            self._loop,
            clock,
            settings.id,
            settings.slots,
            self._gateway,
            starter=settings.starter,
            most_tasks=1 if settings.starter == "fresh" else settings.max_tasks_per_process,
            most_log_bytes=settings.max_log_bytes,
            on_started=self._started,
            on_finished=self._finished,
            on_lost=self._log_lost,
        )
        self._control = ControlServer(
            self._loop,
            listener,
            on_hello=self._hello,
            on_message=self._ordered,
            on_silence=self._alone,
            clock=clock,
        )
        wake_on_signals(self._loop, lambda ready: self._runner.reap(), signal.SIGCHLD)

    def run(self) -> None:
        """Serve until there is nothing left to do, then leave."""
        while not self._is_over():
            timeout = self._due() - self._clock.monotonic()
            self._loop.turn(None if timeout == math.inf else max(0.0, timeout))
            now = self._clock.monotonic()
            self._check_lease(now)  # before anything begins that must not
            self._runner.check(now)
            self._gateway.check(now)
            self._check_end(now)
            self._control.flush()
        self._save_reports()
        self._runner.close()
        self._gateway.close()
        self._control.close()

    # --- what the scheduler says ----------------------------------------------------------------------------------

    def _hello(self) -> None:
        self._control.send(
            {
                "op": "welcome",
                "pid": os.getpid(),
                "slots": self._settings.slots,
                "resources": self._settings.resources,
                "running": sorted(self._runner.held),
                "ended": sorted(self._reports),
                "tokens": self._runner.tokens | {ident: each["token"] for ident, each in self._reports.items()},
            }
        )
        for attempt in self._runner.live:
            if attempt.is_told:
                self._started(attempt)
        for report in self._reports.values():
            self._control.send({"op": "finished", "report": report})

    def _ordered(self, message: Message) -> None:
        match message["op"]:
            case "submit":
                fresh = (Workload.from_json(workload) for workload in message["workloads"])
                self._runner.submit(workload for workload in fresh if workload.attempt_id not in self._reports)
            case "stop":
                self._runner.stop(message["ids"], Ending("stopped", message["reason"]))
            case "ack":
                for attempt_id in message["ids"]:
                    self._reports.pop(attempt_id, None)
            case "lease":
                self._lease = Lease(until=message["until"], seconds=message["seconds"])
            case "here":
                self._control.send({"op": "here"})  # or it would be taken for one that hangs
            case "shutdown":
                self._shut_down(message["grace"])

    def _alone(self) -> None:
        self._alone_since = self._clock.monotonic()

    # --- what the attempts say ------------------------------------------------------------------------------------

    def _started(self, attempt: Attempt) -> None:
        self._control.send(
            {"op": "started", "id": attempt.id, "token": attempt.workload.token, "at": attempt.started_at}
        )

    def _finished(self, report: AttemptReport) -> None:
        message = report.to_json()
        self._reports[report.attempt_id] = message
        self._control.send({"op": "finished", "report": message})

    def _log_lost(self, path: Path, why: str) -> None:
        """Have the program that this one works for tell people: what it writes itself may well go to the same disk."""
        now = self._clock.monotonic()
        if self._control.is_controlled and now >= self._complain_at:
            self._complain_at = now + _COMPLAINT_SECONDS
            self._control.send({"op": "trouble", "text": f"the log of a task cannot be written: {path}: {why}"})

    # --- the end --------------------------------------------------------------------------------------------------

    def _shut_down(self, grace: float) -> None:
        if self._is_leaving and grace <= 0:
            self._runner.stop(self._runner.held, _RELEASED)
            self._runner.hasten(self._clock.monotonic())
        self._is_leaving = True
        self._release_at = min(self._release_at, self._clock.monotonic() + grace)
        self._runner.stop(self._runner.waiting, _RELEASED)

    def _due(self) -> float:
        alone = math.inf if self._control.is_controlled else self._alone_since + self._lonely_limit()
        look = self._clock.monotonic() + min(self._expires_in(), _LEASE_LOOK) if self._is_leased else math.inf
        return min(self._runner.due, self._gateway.due, self._release_at, self._leave_at, alone, look)

    @property
    def _is_leased(self) -> bool:
        """Whether a lease limits how long something may go on."""
        return self._lease.until < math.inf and self._runner.goes_on

    def _expires_in(self) -> float:
        """Seconds until what runs has to be told to end."""
        return self._lease.stop_at(self._runner.longest_grace) - self._clock.since_boot()

    def _lonely_limit(self) -> float:
        holds_anything = self._runner.held or self._reports
        return self._settings.orphan_grace if holds_anything else min(_PATIENCE, self._settings.orphan_grace)

    def _check_lease(self, now: float) -> None:
        if self._is_leased and self._expires_in() <= 0:
            self._runner.stop(self._runner.held, _EXPIRED)
            self._runner.hasten(now + self._lease.until - self._clock.since_boot())

    def _check_end(self, now: float) -> None:
        is_alone = not self._control.is_controlled and now >= self._alone_since + self._lonely_limit()
        if is_alone and not self._is_leaving:
            self._shut_down(0.0)
        if now >= self._release_at:
            self._release_at = math.inf
            self._runner.stop(self._runner.held, _RELEASED)
        if self._is_leaving and not self._runner.held and self._leave_at == math.inf:
            self._leave_at = now + _PATIENCE

    def _is_over(self) -> bool:
        if not self._is_leaving or self._runner.held:
            return False
        is_heard = self._control.is_controlled and self._reports
        return not is_heard or self._clock.monotonic() >= self._leave_at

    def _save_reports(self) -> None:
        if self._reports:
            path = Path(self._settings.results)
            path.touch(mode=0o600)
            path.write_bytes(encode(self._reports.values()))
