"""Runs the attempts of one supervisor: each from its workload to the report that all its processes are gone."""

from __future__ import annotations

import math
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from clockmill import probes
from clockmill.clock import Clock, iso, parse_iso
from clockmill.host.wire import Message, encode
from clockmill.logs.writer import LogWriter
from clockmill.protocols import AttemptReport, Workload
from clockmill.runtime.supervisor.attempt import Attempt, Ending, Exit, Stay, megabytes
from clockmill.runtime.supervisor.gateway import GatewayThread
from clockmill.runtime.supervisor.holds import BundleHolds
from clockmill.runtime.supervisor.lines import Lines
from clockmill.runtime.supervisor.loop import Loop, Outbox
from clockmill.runtime.supervisor.memory import MemoryWatch, overuse
from clockmill.runtime.supervisor.warm import WarmPool, WarmProcess
from clockmill.runtime.supervisor.zygotes import ZygotePool
from clockmill.runtime.task_result import checked_result
from clockmill.runtime.taskproc_channel import MAY_STAY
from clockmill.state import Outcome


class Runner:
    """The attempts that a supervisor holds.

    :param slots: how many run at once; what comes on top waits here.
    :param starter: how attempts are started; see :class:`~clockmill.runtime.supervisor.zygotes.ZygotePool`.
    :param most_tasks: how many attempts a process may serve, one after the other.
    :param most_log_bytes: how much of what an attempt writes its log takes.
    :param on_started: called with an attempt whose user code has been running for a moment.
    :param on_finished: called with the report of an attempt whose processes are gone.
    :param on_lost: called with the path of a log and the reason when what a task writes cannot be kept.
    """

    def __init__(
        self,
        loop: Loop,
        clock: Clock,
        supervisor_id: str,
        slots: int,
        gateway: GatewayThread,
        *,
        starter: str,
        most_tasks: int,
        most_log_bytes: int,
        on_started: Callable[[Attempt], None],
        on_finished: Callable[[AttemptReport], None],
        on_lost: Callable[[Path, str], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._supervisor_id = supervisor_id
        self._slots = slots
        self._gateway = gateway
        self._most_log_bytes = most_log_bytes
        self._on_started = on_started
        self._on_finished = on_finished
        self._on_lost = on_lost
        self._waiting: deque[Workload] = deque()
        self._live: dict[str, Attempt] = {}
        self._starting_at_once = 2 * len(os.sched_getaffinity(0))
        self._bereft: set[str] = set()  # their zygote is dead; their processes may not be gone yet
        self._zygotes = ZygotePool(
            loop,
            clock,
            supervisor_id,
            starter=starter,
            stays=most_tasks > 1,
            on_message=self._zygote_said,
            on_loss=self._zygote_lost,
        )
        self._lines = Lines(loop, on_message=self._heard, on_nonsense=self._spoke_nonsense)
        self._bundles = BundleHolds(lambda: {each.bundle_path for each in self._workloads})
        self._memory = MemoryWatch(clock, self._uses_too_much)
        self._warm = WarmPool(
            loop,
            clock,
            most=most_tasks,
            places=slots,
            end=lambda name: self._zygotes.signal(name, signal.SIGKILL),
        )

    # --- orders ---------------------------------------------------------------------------------------------------

    def submit(self, workloads: Iterable[Workload]) -> None:
        """Take over attempts; those that are held already are left as they are."""
        known = self.held
        for workload in workloads:
            if workload.attempt_id not in known:
                known.add(workload.attempt_id)
                self._waiting.append(workload)
                self._bundles.hold(workload.bundle_path)

    def stop(self, attempt_ids: Iterable[str], ending: Ending) -> None:
        """End attempts: TERM now, KILL after their grace. Ids that are not held are passed over."""
        wanted = set(attempt_ids)
        for workload in [workload for workload in self._waiting if workload.attempt_id in wanted]:
            self._waiting.remove(workload)
            self._on_finished(_never_ran(workload, ending, self._now()))
        for attempt_id in wanted & self._live.keys():
            self._end(self._live[attempt_id], ending)

    def hasten(self, by: float) -> None:
        """Cut the grace of what is being ended short: KILL by then, in monotonic seconds."""
        for attempt in self._live.values():
            if attempt.kill_at < math.inf:
                attempt.kill_at = min(attempt.kill_at, by)

    # --- what there is --------------------------------------------------------------------------------------------

    @property
    def held(self) -> set[str]:
        """The attempts that wait or run here."""
        return {workload.attempt_id for workload in self._waiting} | self._live.keys()

    @property
    def _workloads(self) -> list[Workload]:
        return [*self._waiting, *(attempt.workload for attempt in self._live.values())]

    @property
    def waiting(self) -> set[str]:
        """The attempts that have not begun."""
        return {workload.attempt_id for workload in self._waiting}

    @property
    def live(self) -> list[Attempt]:
        """The attempts that have begun."""
        return list(self._live.values())

    @property
    def tokens(self) -> dict[str, str]:
        """The tokens of what is held, by attempt."""
        waiting = {workload.attempt_id: workload.token for workload in self._waiting}
        return waiting | {ident: attempt.workload.token for ident, attempt in self._live.items()}

    @property
    def goes_on(self) -> bool:
        """Whether anything is held that nobody has ended yet."""
        return bool(self._waiting) or any(attempt.goes_on for attempt in self._live.values())

    @property
    def longest_grace(self) -> float:
        """The longest time between TERM and KILL of what has begun, in seconds."""
        return max((attempt.workload.kill_grace for attempt in self._live.values()), default=0.0)

    @property
    def due(self) -> float:
        """When :meth:`check` next has something to do, in monotonic seconds."""
        dues = [self._zygotes.due, self._warm.due, self._memory.due, *(attempt.due for attempt in self._live.values())]
        if self._waiting and len(self._live) < self._slots:
            dues += [attempt.settled_at for attempt in self._live.values()]
        return min(dues)

    def check(self, now: float) -> None:
        """Do what is due: write logs, tell of starts, end what takes too long or ignores TERM, start what waits."""
        self._lines.write()
        for attempt in [attempt for attempt in self._live.values() if attempt.due <= now]:
            self._overdue(attempt, now)
        self._zygotes.check(now)
        self._warm.check(now)
        self._memory.check(now)
        while self._waiting and len(self._live) < self._slots and self._zygotes.has_base and not self._is_crowded(now):
            self._start(self._waiting.popleft())

    def _is_crowded(self, now: float) -> bool:
        """Whether as many attempts are starting or ending as the processors can serve.

        That is nothing but computing. More of it at once finishes no sooner and only pushes out everybody else.
        """
        return sum(now < attempt.settled_at for attempt in self._live.values()) >= self._starting_at_once

    def reap(self) -> None:
        """A child of this process died: collect it, and end the attempts whose last processes are gone now."""
        if self._zygotes.reap():
            while self._bereft:
                self._finish(self._bereft.pop(), Exit(signal.SIGKILL, 0, 0.0))

    def close(self) -> None:
        """Let the zygotes go, and all below them."""
        self._warm.close()
        self._zygotes.close()

    # --- the life of an attempt -----------------------------------------------------------------------------------

    def _start(self, workload: Workload) -> None:
        probes.probe("supervisor.fork.before")
        while process := self._warm.take(workload):
            if self._go_on(workload, process):
                return
        try:
            control, theirs = socket.socketpair()
            output, writer = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            ending = Ending("lost", f"It could not be started: {error.strerror}.")
            self._on_finished(_never_ran(workload, ending, self._now()))
            return
        self._warm.make_room(len(self._live))
        control.setblocking(False)
        attempt = self._record(workload, Outbox(self._loop, control.fileno()), control.detach(), output)
        self._lines.open(attempt, is_new=True)
        attempt.may_stay = self._warm.may_stay(workload)
        self._zygotes.fork(workload, theirs.detach(), writer)
        opening = self._zygotes.opening(workload)
        if attempt.may_stay:
            opening[-1][MAY_STAY] = True
        attempt.outbox.put(encode(opening))

    def _go_on(self, workload: Workload, process: WarmProcess) -> bool:
        """Have a process that is there serve an attempt; False when it takes no more."""
        may_stay = self._warm.may_stay(workload, process.served)
        output = process.take(encode([workload.to_json() | {MAY_STAY: may_stay}]))
        if output is None:
            self._warm.retire(process)
            return False
        attempt = self._record(workload, process.outbox, process.control, output)
        attempt.may_stay = may_stay
        attempt.process, attempt.served, attempt.cpu_before = process.name, process.served, process.cpu
        self._lines.open(attempt, is_new=False)
        self._warm.serves(process, attempt.id)
        return True

    def _record(self, workload: Workload, outbox: Outbox, control: int, output: int) -> Attempt:
        log = LogWriter(Path(workload.log_path), self._clock, self._most_log_bytes, self._on_lost)
        log.note(f"attempt {workload.attempt_id} of try {workload.try_number}, supervisor {self._supervisor_id}")
        attempt = Attempt(
            workload=workload,
            log=log,
            control=control,
            output=output,
            outbox=outbox,
            begun=self._clock.monotonic(),
            limits=self._zygotes.limits_of(workload),
        )
        os.set_blocking(output, False)
        self._live[attempt.id] = attempt
        return attempt

    def _overdue(self, attempt: Attempt, now: float) -> None:
        if attempt.tell_at <= now:
            attempt.tell_at = math.inf
            attempt.is_told = True
            attempt.log.flush()
            self._on_started(attempt)
        if attempt.kill_at <= now:
            attempt.kill_at = math.inf
            self._zygotes.signal(attempt.process, signal.SIGKILL)
        if attempt.limit_at <= now:
            self._end(attempt, attempt.overrun())

    def _end(self, attempt: Attempt, ending: Ending) -> None:
        if attempt.end(ending, self._clock.monotonic()):
            attempt.log.note(f"{ending.reason} Sending SIGTERM.")
            attempt.log.flush()
            self._zygotes.signal(attempt.process, signal.SIGTERM)

    def _uses_too_much(self, attempt_id: str, used: int) -> None:
        """It is ended, with a moment to clean up: what still uses too much at the next look is killed."""
        attempt = self._live[attempt_id]
        if attempt.ending is not None:
            attempt.kill_at = self._clock.monotonic()
        self._end(attempt, Ending("failed", overuse(attempt.workload, used)))

    def _finish(self, attempt_id: str, end: Exit) -> None:
        """End an attempt whose processes are gone."""
        attempt = self._live.pop(attempt_id, None)
        if attempt is None:
            return
        self._lines.drain(attempt)
        self._conclude(attempt, end.after(attempt.cpu_before))

    def _keep(self, attempt: Attempt, stay: Stay) -> None:
        """End an attempt whose process says that it could serve another one."""
        if attempt.id not in self._live:  # it is gone
            return
        if not self._lines.complete(attempt) or attempt.ending is not None or not attempt.may_stay:
            # Somebody else may still write for this attempt, or it is being killed: its process has to go.
            self._lines.hang_up(attempt)
            return
        del self._live[attempt.id]
        self._warm.keep(attempt, stay.cpu)
        attempt.control = -1
        self._conclude(attempt, Exit(0, stay.peak_kb, stay.cpu))

    def _conclude(self, attempt: Attempt, end: Exit) -> None:
        end = end.at_least(self._memory.end(attempt.id))
        report = attempt.conclude(end, self._now())
        seconds = self._clock.monotonic() - attempt.begun
        attempt.log.note(
            f"ended {report.outcome}{_wish(report)}: {report.reason.rstrip('.') + '; ' if report.reason else ''}"
            f"{end.describe()}, {seconds:.3f} s, peak memory {megabytes(end.peak_kb)}"
        )
        attempt.log.close()
        probes.probe("supervisor.finish.before")
        self._on_finished(report)

    # --- what its process says ------------------------------------------------------------------------------------

    def _heard(self, attempt: Attempt, message: Message) -> None:
        now = self._clock.monotonic()
        match message["op"]:
            case "started":
                parse_iso(message["at"])
                attempt.started(message["at"], now)
            case "result":
                stay = Stay.from_json(message["stays"]) if "stays" in message else None
                attempt.reported(checked_result(message["result"]), now)
                if why := message.get("leaves"):
                    attempt.log.note(f"Its process serves no other task: {why}.")
                if stay is not None:
                    self._keep(attempt, stay)
            case "ask":
                identity = {"attempt_id": attempt.id, "token": attempt.workload.token}
                self._gateway.ask(
                    message["method"],
                    message["arguments"] | identity,
                    lambda answer: self._answer(attempt, answer),
                )

    def _spoke_nonsense(self, attempt: Attempt, why: str) -> None:
        self._end(attempt, Ending("failed", f"Its process broke the protocol: {why}"))

    def _answer(self, attempt: Attempt, answer: Message) -> None:
        if attempt.control < 0 or attempt.id not in self._live:
            return
        try:
            attempt.outbox.put(encode([answer]))
        except OSError:  # the process is gone; its zygote will say so
            return
        if "gone" in answer:
            self._end(attempt, Ending("stopped", answer["gone"] or "It no longer belongs to this supervisor."))

    # --- what its zygote says -------------------------------------------------------------------------------------

    def _zygote_said(self, message: dict[str, Any]) -> None:
        attempt_id = self._warm.attempt_of(message["id"])
        if message["op"] == "forked":
            if attempt := self._live.get(attempt_id):
                self._memory.begin(attempt.workload, message["pid"], message["reaper"])
            return
        self._warm.gone(message["id"])
        if message["op"] == "ended":
            self._finish(attempt_id, Exit(message["status"], message["peak_kb"], message["cpu"]))
        elif attempt := self._live.get(attempt_id):
            attempt.ending = Ending("lost", f"It could not be started: {message['problem']}.")
            self._finish(attempt_id, Exit(0, 0, 0.0))

    def _zygote_lost(self, names: set[str]) -> None:
        attempt_ids = {self._warm.attempt_of(name) for name in names}
        for name in names:
            self._warm.gone(name)
        for attempt_id in attempt_ids & self._live.keys():
            attempt = self._live[attempt_id]
            attempt.ending = attempt.ending or Ending("lost", f"The {self._zygotes.kind} that ran it died.")
            self._bereft.add(attempt_id)
        self.reap()

    def _now(self) -> str:
        return iso(self._clock.now())


def _wish(report: AttemptReport) -> str:
    """What a process that ended well still wants; whether it is granted, the scheduler adds."""
    if not report.run_requests or report.outcome != Outcome.SUCCESS:
        return ""
    runs = len(report.run_requests)
    return f", asking for {'a run' if runs == 1 else f'{runs} runs'}"


def _never_ran(workload: Workload, ending: Ending, now: str) -> AttemptReport:
    return AttemptReport(
        attempt_id=workload.attempt_id,
        token=workload.token,
        outcome=ending.outcome,
        reason=ending.reason,
        ended_at=now,
    )
