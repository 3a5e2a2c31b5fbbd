"""The scheduler: a loop that takes in news, moves runs on, and sleeps until something can change.

Nothing here decides anything, and nothing depends on what is in memory: every pass starts from the rows. Several
schedulers may work on one database; the locks of runs, DAGs and pools keep them apart.
"""

from __future__ import annotations

import contextlib
import logging
import math
import select
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from threading import Event as Flag

from clockmill.clock import Clock
from clockmill.config import Settings
from clockmill.executors.base import Executor
from clockmill.host.locks import LifeLock
from clockmill.host.processes import host_name, new_instance
from clockmill.scheduler.agenda import Agenda
from clockmill.scheduler.steps.advance import Advance
from clockmill.scheduler.steps.backfills import Backfills
from clockmill.scheduler.steps.collect import Collect, Inbox
from clockmill.scheduler.steps.leases import Leases
from clockmill.scheduler.steps.mailbox import Mailbox
from clockmill.scheduler.steps.open_runs import OpenRuns
from clockmill.scheduler.steps.presence import Found, Presence
from clockmill.scheduler.steps.prune import Prune
from clockmill.scheduler.steps.rescue import Rescue
from clockmill.scheduler.steps.retire import retire
from clockmill.scheduler.steps.unserved import Unserved
from clockmill.scheduler.workspace import Workspace
from clockmill.storage.components import beat, forget_dead, has_others, leave
from clockmill.storage.engine import CommitUnknown, Connection, Database, DatabaseUnavailable
from clockmill.storage.outage import Outage
from clockmill.storage.runs import next_deadline
from clockmill.storage.supervisors import next_epoch
from clockmill.storage.wakeup import Call, WakeListener

log = logging.getLogger(__name__)

_BEAT_SECONDS = 5.0
#: Beats in the time of a lease.
_BEATS = 6
_PRUNE_SECONDS = 600.0
_DOWN_PAUSE = 0.5
#: So many seconds for each report of workers that was read are waited for others, to read them together.
_MAIL_GAP = 0.003
_LONGEST_MAIL_GAP = 0.03
#: While something is left aside, timers are looked at no more often than this.
_VAIN_PAUSE = timedelta(seconds=1)


class SchedulerService:
    """One scheduler.

    :param executors: by name, the default first; not yet started.
    :param retired: executors that are no longer chosen, by name: what they run may end, and they get nothing new.
    :param listener: hears the calls of other processes; this service closes it.
    :param grace: seconds that running tasks get at the end; ``None`` leaves them running for the next scheduler.
    :param instance: what tells it from other schedulers; one that no other ever had unless given.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        executors: Mapping[str, Executor],
        listener: WakeListener,
        *,
        retired: Mapping[str, Executor] = {},
        grace: float | None = None,
        instance: str | None = None,
    ) -> None:
        self._space = Workspace(database, clock, settings, {**executors, **retired})
        self._retired = retired
        self._listener = listener
        self._grace = grace
        self._inbox = Inbox()
        self._instance = instance or new_instance()
        self._lives = settings.run_folder / "scheduler-lives"
        self._collect = Collect(self._space)
        self._open_runs = OpenRuns(self._space)
        self._backfills = Backfills(self._space)
        self._advance = Advance(self._space)
        self._mailbox = Mailbox(self._space)
        self._leases = Leases(self._space)
        self._unserved = Unserved(self._space)
        self._outage = Outage(log, clock)
        self._presence = Presence(self._space)
        self._beat_seconds = min(_BEAT_SECONDS, settings.workers.lease_seconds / _BEATS)
        self._prune = Prune(self._space)
        self._rescue: Rescue | None = None
        self._deadline: datetime | None = None
        self._full_look_due = 0.0
        self._beat_due = 0.0
        self._mail_due = 0.0
        self._may_have_mail = False
        self._prune_due = clock.monotonic() + _PRUNE_SECONDS
        self._again = True
        self._is_known = False
        self._hurry = Flag()
        self._bell, self._bell_rope = socket.socketpair()

    def interrupt(self, *, hurry: bool = False) -> None:
        """Let :meth:`run` look at its flag now; safe in a signal handler and from any thread.

        :param hurry: give running tasks no more of the grace that they were promised.
        """
        if hurry:
            self._hurry.set()
        with contextlib.suppress(OSError):  # the service has left, and its bell is gone
            self._bell_rope.send(b".")

    def start(self) -> None:
        """Take control of the executors under a new epoch, and find what was lost while nobody looked."""
        epoch = self._begin()
        self._rescue = Rescue(self._space, epoch)
        for executor in self._space.executors.values():
            executor.start(epoch)
        retire(self._space, self._retired)
        self._collect.run_once(self._inbox)
        self._rescue.run_once(self._inbox)
        self._rescue.look_for_dead(host_name(), self._inbox)
        log.info("scheduler %s began with epoch %d", self._instance, epoch)

    def _begin(self) -> int:
        """Take the place of those that were killed on this home; returns the epoch."""

        def work(connection: Connection) -> tuple[list[LifeLock], int]:
            return forget_dead(connection, "scheduler", self._lives), next_epoch(connection)

        dead, epoch = self._space.database.write(work)
        for lock in dead:
            lock.remove()
        return epoch

    def run(self, stop: Flag) -> None:
        """Work until ``stop`` is set, then let the executors go and leave.

        An outage of the database is waited out; everything else that goes wrong ends the service.
        """
        life = LifeLock(self._lives, self._instance)
        # Without it, as on a full disk, this one is only shown for longer once it was killed.
        with contextlib.suppress(OSError):
            life.hold()
        is_started = False
        while not stop.is_set():
            try:
                if not is_started:
                    self.start()
                    is_started = True
                elif not self.run_once():
                    self._wait()
                self._outage.is_over()
            except DatabaseUnavailable as error:
                self._miss_database(error)
                self._space.clock.sleep(_DOWN_PAUSE)
        self._shut_down()
        life.remove()

    def _miss_database(self, error: DatabaseUnavailable) -> None:
        """Trust nothing in memory, and look at everything once the database is back."""
        self._outage.goes_on(error)
        self._space.views.forget()
        self._leases.forget()
        self._full_look_due = 0.0

    def run_once(self) -> bool:
        """One pass over all duties; whether another one should follow at once."""
        now = self._space.clock.monotonic()
        self._collect.run_once(self._inbox)
        if now >= self._beat_due:
            self._beat(now)
            self._unserved.run_once()
        call = self._listener.drain()
        woken = self._heed(call, now)
        if self._rescue is not None:
            self._rescue.run_once(self._inbox)
        self._read_mail(bool(call), woken, now)
        self._work(call, woken)
        self._housekeeping(now)
        return self._again or self._is_due()

    def _heed(self, call: Call, now: float) -> bool:
        """Take in who calls; returns whether this pass looks at everything, as it does now and then without a call.

        A supervisor that is new brings free slots, which tasks may have waited for since before this scheduler.
        """
        woken = Call.NEWS in call or now >= self._full_look_due or bool(self._inbox.up)
        if Call.NEWS in call and self._is_known:
            self._meet(self._space.database.read(self._has_others))
        if woken:
            self._full_look_due = now + self._space.settings.scheduler.max_sleep_seconds
        return woken

    def _read_mail(self, called: bool, woken: bool, now: float) -> None:
        """Read what workers report, when there may be some: not each time at once, to read more of it together."""
        self._may_have_mail |= bool(self._space.brokered) and (called or woken)
        if self._may_have_mail and (now >= self._mail_due or woken):
            self._may_have_mail = self._mailbox.read(self._inbox, self._advance.aside)
            self._mail_due = now + min(_MAIL_GAP * len(self._inbox.reports), _LONGEST_MAIL_GAP)

    def _is_due(self) -> bool:
        """Whether the time has come for something."""
        return self._deadline is not None and self._deadline <= self._space.clock.now()

    def _work(self, call: Call, woken: bool) -> None:
        """Make the runs that are due, and move on those that this pass has to look at."""
        due = self._is_due()
        if due:
            self._advance.ring_again()
        queued = woken or due or self._again
        made = self._open_runs.run_once() + self._backfills.run_once() if queued else 0
        offered = Call.WORK in call and not woken and self._has_room()
        if queued or offered or self._inbox.reports or self._inbox.started:
            self._move_on(Agenda(stale=woken, queued=queued, timers=woken or due, offered=offered))
            self._again |= made > 0

    def _move_on(self, agenda: Agenda) -> None:
        try:
            outcomes = self._advance.run_once(self._inbox, agenda)
        except CommitUnknown:
            self._space.views.forget()
            raise
        self._again = outcomes.more or outcomes.finished_runs > 0
        if agenda.timers:
            self._deadline = _soonest(self._next_deadline(), outcomes.look_again)
        else:
            noted = (outcomes.next_due, outcomes.look_again, self._open_runs.next_due)
            self._deadline = _soonest(self._deadline, *noted)
        if outcomes.call:
            self._listener.call_others(outcomes.call)

    def _next_deadline(self) -> datetime | None:
        """When the next timer goes off; those of what is left aside go off in vain, so they do not hurry anybody."""
        now = self._space.clock.now()
        deadline = self._space.database.read(partial(next_deadline, now=now))
        if deadline is not None and (self._advance.aside or self._open_runs.aside):
            return max(deadline, now + _VAIN_PAUSE)
        return deadline

    def _housekeeping(self, now: float) -> None:
        if now >= self._prune_due:
            self._prune_due = now + (0 if self._prune.run_once() else _PRUNE_SECONDS)

    def _beat(self, now: float, lease: float | None = None) -> None:
        """Say that this scheduler is alive, and its supervisors; give up those of others that are not.

        :param lease: for how long its supervisors may be silent after this, in seconds; None is as ever.
        """
        moment, sent_at = self._space.clock.now(), self._space.clock.since_boot()
        seconds = self._presence.lease if lease is None else lease

        def work(connection: Connection) -> tuple[bool, Found]:
            beat(connection, "scheduler", self._instance, moment, period_seconds=self._beat_seconds)
            return self._has_others(connection), self._presence.write(connection, seconds, moment)

        has_others, found = self._space.database.write(work)
        self._presence.grant(found, seconds, sent_at)
        self._meet(has_others)
        self._may_have_mail |= self._space.takes_mail  # without workers it is as rare as dead hosts
        if self._leases.run_once():
            self._may_have_mail = self._again = True
            self._mail_due = 0.0
        self._beat_due = now + self._beat_seconds

    def _has_others(self, connection: Connection) -> bool:
        return has_others(connection, "scheduler", self._instance, self._space.clock.now())

    def _meet(self, has_peers: bool) -> None:
        """Know whether there are other schedulers. One that is new says so, and is told what was left until then."""
        if has_peers and not self._space.has_peers:
            self._listener.call_others(Call.WORK if self._is_known else Call.NEWS)
        self._space.has_peers = has_peers
        self._is_known = True

    def _has_room(self) -> bool:
        executors = self._space.executors.values()
        return any(slots > 0 for executor in executors for slots in executor.free_slots().values())

    def _wait(self) -> None:
        """Sleep until an executor or another process has something to tell, or the next deadline."""
        clock = self._space.clock
        until = min(self._full_look_due, self._beat_due, self._mail_due if self._may_have_mail else math.inf)
        until -= clock.monotonic()
        if self._deadline is not None:
            until = min(until, (self._deadline - clock.now()).total_seconds())
        self._doze(until)

    def _shut_down(self) -> None:
        """End or leave what runs, write down what ended, and go."""
        if self._grace is None:
            self._take_in()
            with contextlib.suppress(DatabaseUnavailable):
                self._beat(self._space.clock.monotonic(), self._presence.long_lease)
            for executor in self._space.executors.values():
                executor.detach()
        else:
            self._stop_executors(self._grace)
        with contextlib.suppress(DatabaseUnavailable):  # its last sign of life grows old by itself
            self._space.database.write(lambda connection: leave(connection, "scheduler", self._instance))
        self.close()
        log.info("scheduler %s left", self._instance)

    def close(self) -> None:
        """Let go of the sockets; :meth:`run` does it by itself."""
        self._listener.close()
        self._bell.close()
        self._bell_rope.close()

    def _stop_executors(self, grace: float) -> None:
        executors = self._space.executors.values()
        for executor in executors:
            executor.stop(grace)
        hurried = False
        self._take_in()
        while any(executor.is_busy() for executor in executors):
            self._doze(self._beat_seconds)
            if self._hurry.is_set() and not hurried:
                hurried = True
                for executor in executors:
                    executor.stop(0)
            self._take_in()

    def _take_in(self) -> None:
        """Write down what the executors report, without new work: they offer no free slots any more.

        While the database is away, the executors keep what is not acknowledged, at last for the next scheduler.
        """
        self._listener.drain()  # a call that nobody takes in would keep this scheduler awake
        self._collect.run_once(self._inbox)
        try:
            if (now := self._space.clock.monotonic()) >= self._beat_due:
                self._beat(now)  # what may still run for a while must not be taken for lost
            if self._rescue is not None:
                self._rescue.run_once(self._inbox)
            if self._inbox.reports or self._inbox.started:
                self._advance.run_once(self._inbox, Agenda(stale=False, queued=False, timers=False))
        except DatabaseUnavailable as error:
            self._miss_database(error)

    def _doze(self, seconds: float) -> None:
        filenos = [fileno for executor in self._space.executors.values() for fileno in executor.filenos()]
        filenos += [*self._listener.filenos(), self._bell.fileno()]
        looks = [executor.look_again_in() for executor in self._space.executors.values()]
        seconds = min([seconds, *(look for look in looks if look is not None)])
        ready, _, _ = select.select(filenos, [], [], max(0.0, seconds))
        if self._bell.fileno() in ready:
            self._bell.recv(64)


def _soonest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
