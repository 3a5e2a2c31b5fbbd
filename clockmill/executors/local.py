"""The local executor: supervisors on this host, which outlive the scheduler that started them."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from clockmill.executors.base import ExecutorEvent, Finished, Started, SupervisorDown, SupervisorInfo, SupervisorUp
from clockmill.executors.link import SupervisorFiles, SupervisorLink, find_all, home_mark, launch
from clockmill.executors.setup import ExecutorSetup
from clockmill.host import processes
from clockmill.host.sweeping import Sweep
from clockmill.host.wire import Message
from clockmill.protocols import AttemptReport, Workload

log = logging.getLogger(__name__)

_RELAUNCH_SECONDS = 0.5
_MAX_RELAUNCH_SECONDS = 30.0
_SWEEP_SECONDS = 0.02
#: How often a scheduler looks for supervisors that lost theirs, and says to its own that it is there.
_ROUND_SECONDS = 5.0
#: A supervisor that leaves so many greetings in a row unanswered hangs. What is counted are rounds, not seconds: this
#: process may have been halted itself, or the machine suspended.
_MOST_UNANSWERED = 12


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A supervisor that answers no more while its lock is still held.

    :param handle: becomes readable when its process is gone.
    """

    files: SupervisorFiles
    pid: int
    reason: str
    handle: int | None


class LocalExecutor:
    """Runs attempts on this host, one process each, below a supervisor that a restart of the scheduler does not touch.

    It has no thread and never waits: it makes progress whenever :meth:`events` is called, which
    :meth:`filenos` tell the time for.

    :param setup: of it, all but ``options`` is used: there are none.
    :raises ConfigError: when an option is set.
    """

    #: How its supervisors start attempts: ``zygote`` forks them, ``fresh`` gives each an interpreter of its own.
    starter: ClassVar[str] = "zygote"
    #: Forks of what has a DAG file loaded belong to whom that belongs to.
    switches_users: ClassVar[bool] = False

    def __init__(self, setup: ExecutorSetup) -> None:
        setup.read_options({})
        self.name = setup.name
        self._clock = setup.clock
        self._folder = setup.run_folder / "supervisors"
        self._settings = {
            "home": str(setup.home),
            "slots": setup.slots,
            "resources": None if setup.resources is None else dict(setup.resources),
            "orphan_grace": setup.orphan_grace,
            "gateway": setup.gateway,
            "gateway_spec": dict(setup.gateway_spec),
            "starter": self.starter,
            "max_tasks_per_process": setup.max_tasks_per_process,
            "max_log_bytes": setup.max_log_bytes,
        }
        self._epoch: int | None = None
        self._failures = 0
        self._launch_at = 0.0
        self._is_draining = False
        self._lease: Message | None = None
        self._round_at = 0.0
        self._links: dict[str, SupervisorLink] = {}
        self._limbo: dict[str, _Leaving] = {}
        self._sweeps: dict[str, tuple[SupervisorFiles, Sweep, str]] = {}
        self._left: dict[str, tuple[SupervisorFiles, set[str]]] = {}
        self._children: set[int] = set()
        self._events: list[ExecutorEvent] = []

    def supervisor_command(self) -> list[str]:
        """The argument vector that starts a supervisor.

        For classes that want it started in another way, by ``nice`` or ``systemd-run --scope`` for example. It has to
        become the supervisor in the same process, with the descriptors that it was started with.
        """
        return [sys.executable, "-P", "-m", "clockmill.runtime.supervisor"]

    def start(self, epoch: int) -> None:
        """Find the supervisors of this host, take control of those without a scheduler, sweep up after the dead.

        :param epoch: issued by the database; of two schedulers the one with the higher epoch controls.
        """
        self._epoch = epoch
        self._is_draining = False
        self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._look_around()
        self._relaunch()

    def free_slots(self) -> dict[str, int]:
        """Free slots per supervisor id, of those that take new work."""
        if self._is_draining:
            return {}
        own = next((link for link in self._links.values() if link.slots), None)
        return {own.id: own.free} if own is not None and own.free else {}

    def submit(self, supervisor_id: str, workloads: Sequence[Workload]) -> None:
        """Hand over attempts, all in one write; a supervisor that is gone by now reports them as lost by its end."""
        if link := self._links.get(supervisor_id):
            link.held.update(workload.attempt_id for workload in workloads)
            link.send({"op": "submit", "workloads": [workload.to_json() for workload in workloads]})

    def stop_attempts(self, attempt_ids: Iterable[str], reason: str) -> None:
        """Have attempts ended: TERM, grace, KILL; each comes back as :class:`Finished`."""
        wanted = set(attempt_ids)
        for link in self._links.values():
            if mine := wanted & link.held:
                link.send({"op": "stop", "ids": sorted(mine), "reason": reason})

    def events(self) -> list[ExecutorEvent]:
        """What happened since the last call, in order."""
        for link in list(self._links.values()):
            messages, is_connected = link.receive()
            for message in messages:
                self._heard(link, message)
            if not is_connected:
                self._disconnected(link)
        for leaving in list(self._limbo.values()):
            self._look_again(leaving)
        for supervisor_id in list(self._sweeps):
            self._sweep(supervisor_id)
        self._reap()
        self._make_round()
        self._relaunch()
        events, self._events = self._events, []
        return events

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        """The reports of these attempts are committed and need not be repeated."""
        ids = list(attempt_ids)
        for link in self._links.values():
            link.send({"op": "ack", "ids": ids})
        for supervisor_id, (files, unacknowledged) in list(self._left.items()):
            unacknowledged.difference_update(ids)
            if not unacknowledged:
                del self._left[supervisor_id]
                files.remove()

    def filenos(self) -> list[int]:
        """Descriptors that become readable when :meth:`events` has something."""
        sweeping = [descriptor for _, sweep, _ in self._sweeps.values() for descriptor in sweep.filenos()]
        leaving = [leaving.handle for leaving in self._limbo.values() if leaving.handle is not None]
        return [link.fileno() for link in self._links.values()] + sweeping + leaving

    def look_again_in(self) -> float | None:
        """Seconds until the next look at what no descriptor tells: sweeps, a supervisor that must be started again."""
        if self._sweeps or self._limbo:
            return _SWEEP_SECONDS
        if not self._links and not self._is_draining:
            return max(0.0, self._launch_at - self._clock.monotonic())
        return None

    def drain(self) -> None:
        """Take no new work; what runs goes on."""
        self._is_draining = True

    def stop(self, grace: float) -> None:
        """End everything: what still runs after ``grace`` seconds is stopped and reported as ``released``.

        Go on calling :meth:`events` until every supervisor is reported down; a second call shortens the grace.
        """
        self._is_draining = True
        for link in self._links.values():
            link.is_ending = True
            link.send({"op": "shutdown", "grace": grace})

    def is_busy(self) -> bool:
        """Whether a supervisor of this executor is still there after :meth:`stop`."""
        return bool(self._links or self._limbo or self._sweeps)

    def is_dead(self, supervisor_id: str) -> bool:
        """Whether a supervisor is surely dead, and nothing more will be heard of what it held.

        Of the supervisors of another home nothing can be told here: their locks cannot be seen.
        """
        if supervisor_id in self._links or supervisor_id in self._limbo or supervisor_id in self._sweeps:
            return False
        is_ours = supervisor_id.startswith(f"{home_mark(self._folder)}-")
        return is_ours and SupervisorFiles(self._folder, supervisor_id).is_dead()

    @property
    def is_settled(self) -> bool:
        """Whether all that was found of supervisors has been told by events: each is up, or down."""
        return not (self._limbo or self._sweeps) and all(link.slots for link in self._links.values())

    def controlled(self) -> dict[str, frozenset[str]]:
        """The attempts of each supervisor that obeys, by its id."""
        return {link.id: frozenset(link.held) for link in self._links.values() if link.slots}

    def grant(self, until: float, seconds: float, *, only: str | None = None) -> None:
        """Have the supervisors end everything before a moment, unless this is called again before it.

        :param until: when nothing may run any more, in seconds since boot; a moment that has passed is now.
        :param seconds: how long such a lease is.
        :param only: this supervisor alone; None is all, and those that come later.
        """
        lease: Message = {"op": "lease", "until": until, "seconds": seconds}
        if only is None:
            self._lease = lease
        for link in self._links.values():
            if only in (None, link.id):
                link.send(lease)

    def detach(self) -> None:
        """Let go of the supervisors and leave them running, for the next scheduler to find."""
        for link in self._links.values():
            link.close()
        for _, sweep, _ in self._sweeps.values():
            sweep.close()
        for leaving in self._limbo.values():
            if leaving.handle is not None:
                os.close(leaving.handle)
        self._links.clear()
        self._sweeps.clear()
        self._limbo.clear()
        self._epoch = None

    # --- supervisors that come and go -----------------------------------------------------------------------------

    def _make_round(self) -> None:
        """Now and then: greet the supervisors, look for orphans, send home adopted ones that have nothing left."""
        now = self._clock.monotonic()
        if self._epoch is None or now < self._round_at:
            return
        self._round_at = now + _ROUND_SECONDS
        for link in self._links.values():
            self._greet(link)
        if self._is_draining:
            return
        for link in [link for link in self._links.values() if link.slots][1:]:
            if not link.held and not link.is_ending:
                link.is_ending = True
                link.send({"op": "shutdown", "grace": 0})
        self._look_around()

    def _greet(self, link: SupervisorLink) -> None:
        """Greet a supervisor, or kill one that hangs: its tasks go on, and nobody ends them when they should end."""
        if link.unanswered < _MOST_UNANSWERED:
            link.greet()
            return
        link.verdict = f"It said nothing for {_MOST_UNANSWERED * _ROUND_SECONDS:g} s and was killed."
        link.files.kill()

    def _look_around(self) -> None:
        for files in find_all(self._folder):
            known = (self._links, self._limbo, self._sweeps, self._left)
            if not any(files.id in group for group in known):
                self._take_over(files)

    def _launch(self) -> None:
        self._launch_at = self._clock.monotonic() + min(_RELAUNCH_SECONDS * self._failures, _MAX_RELAUNCH_SECONDS)
        self._failures += 1
        files, pid = launch(self._folder, self.supervisor_command(), self._settings)
        self._children.add(pid)
        self._take_over(files, pid, "It ended before it had begun.")

    def _relaunch(self) -> None:
        """Replace a supervisor that is gone, later each time that one dies before it said a word."""
        is_wanted = not (self._links or self._limbo or self._is_draining)
        if self._epoch is not None and is_wanted and self._clock.monotonic() >= self._launch_at:
            self._launch()

    def _take_over(self, files: SupervisorFiles, pid: int = 0, reason: str = "It was found dead.") -> None:
        """Connect to a supervisor, or sweep up after it; one that is neither alive nor dead is looked at again."""
        if files.is_dead():
            self._sweeps[files.id] = (files, Sweep(files.id), reason)
            return
        try:
            self._connect(files, pid)
        except OSError:
            self._limbo[files.id] = _Leaving(files, pid, reason, processes.watch_end(pid))

    def _look_again(self, leaving: _Leaving) -> None:
        del self._limbo[leaving.files.id]
        if leaving.handle is not None:
            os.close(leaving.handle)
        self._take_over(leaving.files, leaving.pid, leaving.reason)

    def _connect(self, files: SupervisorFiles, pid: int) -> None:
        link = SupervisorLink(files, pid)
        self._links[link.id] = link
        link.send({"op": "hello", "epoch": self._epoch}, *([self._lease] if self._lease else []))

    def _heard(self, link: SupervisorLink, message: Message) -> None:
        match message["op"]:
            case "finished":
                link.held.discard(message["report"]["attempt_id"])
                self._events.append(Finished(AttemptReport.from_json(message["report"])))
            case "started":
                self._events.append(Started(message["id"], message["token"], message["at"]))
            case "trouble":
                log.warning("%s", message["text"])
            case "welcome":
                self._welcome(link, message)
            case "refused":
                self._links.pop(link.id).close()

    def _welcome(self, link: SupervisorLink, message: Message) -> None:
        facts = link.files.facts()
        link.pid = message["pid"]
        link.slots = message["slots"]
        link.held.update(message["running"])
        info = SupervisorInfo(
            id=link.id,
            host=facts["host"],
            boot_id=facts["boot_id"],
            pid=link.pid,
            slots=link.slots,
            resources=message.get("resources"),
        )
        self._failures = 0
        holds = frozenset(message["running"] + message["ended"])
        self._events.append(SupervisorUp(info, holds, message.get("tokens", {})))

    def _disconnected(self, link: SupervisorLink) -> None:
        if self._links.pop(link.id, None) is None:
            return
        link.close()
        reason = "It was stopped." if link.is_ending else f"It died. {link.files.last_words()}".strip()
        self._take_over(link.files, link.pid, link.verdict or reason)

    def _sweep(self, supervisor_id: str) -> None:
        files, sweep, reason = self._sweeps[supervisor_id]
        if not sweep.step():
            return
        del self._sweeps[supervisor_id]
        reports = files.results()
        self._events += [Finished(AttemptReport.from_json(report)) for report in reports]
        self._events.append(SupervisorDown(supervisor_id, reason))
        if reports:
            self._left[supervisor_id] = (files, {report["attempt_id"] for report in reports})
        else:
            files.remove()

    def _reap(self) -> None:
        """Collect supervisors that were children of this process."""
        for pid in list(self._children):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    continue
            self._children.discard(pid)
