"""The service that keeps the DAGs in the database equal to the files in the folders."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Event as Flag

from clockmill.bundles import BundleStore
from clockmill.clock import Clock
from clockmill.config import Settings
from clockmill.executors import registry
from clockmill.host.processes import new_instance
from clockmill.parsing.crew import ParsingCrew
from clockmill.parsing.keeper import FolderKeeper
from clockmill.parsing.leadership import Leadership, LeadLost
from clockmill.parsing.sources import make_sources
from clockmill.parsing.watch import Watcher
from clockmill.storage import bundles, components, versions
from clockmill.storage.engine import Connection, Database, DatabaseUnavailable
from clockmill.storage.outage import Outage
from clockmill.storage.wakeup import wake

log = logging.getLogger(__name__)

NAME = "dag-processor"

_BEAT_SECONDS = 5.0
_IDLE_SECONDS = 30.0
_DOWN_PAUSE = 0.5
_PRUNE_SECONDS = 3600.0
_PRUNE_AGE = timedelta(days=1)
#: A disk that is full is waited out, like a database that is away.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class DagProcessor:
    """Watches the DAG folder and the examples, parses what changed, and stores it.

    :param settings: ``core``, ``dags`` and the folders of it are used.
    :param wake_scheduler: called after each commit that a scheduler should know of; by default it wakes all
        schedulers of this database.
    :raises ConfigError: when ``[core] executor`` cannot be understood.
    """

    def __init__(
        self, database: Database, clock: Clock, settings: Settings, *, wake_scheduler: Callable[[], None] | None = None
    ) -> None:
        registry.chosen(settings.core.executor)
        self._database = database
        self._clock = clock
        self._outage = Outage(log, clock)
        self._shortage = Outage(log, clock, f"there is no room in {settings.bundles_folder}", "there is room again")
        self._settings = settings
        self._store = BundleStore(settings.bundles_folder)
        self._sources = make_sources(settings, self._store, clock)
        self._crew = ParsingCrew(
            settings.dags.parse_processes,
            timeout=settings.dags.parse_timeout_seconds,
            memory_mb=settings.dags.parse_memory_mb,
            max_document_mb=settings.dags.max_document_mb,
            max_map_length=settings.core.max_map_length,
            executors=settings.core.executor,
        )
        self._stop = Flag()
        self._keeper = FolderKeeper(
            database,
            clock,
            settings,
            store=self._store,
            crew=self._crew,
            sources=self._sources,
            wake=wake_scheduler or partial(wake, database, settings.run_folder),
            beat=self._beat,
            is_stopped=self._is_stopped,
            hold=lambda connection: self._leadership.hold(connection),
        )
        self._instance = new_instance()
        self._locks = settings.run_folder / "dag-processors"
        self._leadership = Leadership(database, clock, NAME, self._instance, self._locks)
        self._beat_due = 0.0
        self._has_looked = False
        self._prune_due = clock.monotonic() + _PRUNE_SECONDS

    def run(self, stop_event: Flag) -> None:
        """Work until ``stop_event`` is set: a full look now, then whenever something changes, and now and then.

        A database that is away is waited for. While another instance leads, this one stands by.
        """
        self._stop = stop_event
        self._leadership.enter()
        watcher = Watcher([source.root for source in self._sources], stop_event)
        scan = self._settings.dags.scan_interval_seconds
        full_look_due = self._clock.monotonic()
        self._careful(self._take_place)
        self._careful(self._keeper.restore_bundles)
        try:
            for has_changed in watcher.changes():
                if not self._leadership.is_leading:
                    full_look_due = self._clock.monotonic()
                    if not self._takes_lead():
                        continue
                is_full = self._clock.monotonic() >= full_look_due
                if has_changed or is_full or self._keeper.is_reparse_due():
                    is_done = self._careful(partial(self.run_once, full=is_full))
                    if not is_done:
                        full_look_due = self._clock.monotonic()
                    elif is_full:
                        # What changed before the watcher was up is found by a second full look soon after the first.
                        full_look_due = self._clock.monotonic() + (scan if watcher.is_up else min(scan, 1.0))
                self._careful(self._housekeep)
        finally:
            self.close()
            self._careful(self._leave)

    def _take_place(self) -> None:
        """Forget those that were killed on this home; by the lock of who led, the others see that it is dead."""
        self._database.write(partial(components.forget_dead, name=NAME, folder=self._locks))

    def run_once(self, *, full: bool = True) -> None:
        """Look at every folder, parse what changed, store it.

        :param full: whether to read again what the database knows, which others may have changed.
        :raises DatabaseError: when the database cannot be used.
        """
        if full:
            self._keeper.read_known()
        self._keeper.look_for_short()
        for source in self._sources:
            if self._stop.is_set():
                return
            self._keeper.look(source)
        self._beat(at_once=not self._has_looked)
        self._has_looked = True
        self._shortage.is_over()

    def close(self) -> None:
        """End the parsing process."""
        self._crew.stop()

    def prune(self) -> None:
        """Delete versions that no run needs, then the bundles and files that no version needs, here and on disk."""
        before = self._clock.now() - _PRUNE_AGE
        if not self._leadership.is_standing_by:
            while self._database.write(partial(versions.prune_versions, before=before)):
                self._beat()
            self._database.write(partial(bundles.prune_bundles, before=before))
        kept = self._database.read(bundles.bundle_hashes)
        kept |= {source.snapshot.bundle.hash for source in self._sources if source.snapshot}
        self._store.prune(kept, before)

    def _careful(self, step: Callable[[], object]) -> bool:
        """Take a step; when the database is away, wait a little and forget what is known, which may have changed."""
        try:
            step()
        except LeadLost as error:
            log.warning("what was begun is not written: %s", error)
            self._leadership.lose()
            self._crew.stop()
        except (DatabaseUnavailable, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_ROOM:
                raise
            (self._shortage if isinstance(error, OSError) else self._outage).goes_on(error)
            self._leadership.forget()
            self._stop.wait(_DOWN_PAUSE)
        else:
            return True
        for source in self._sources:
            source.parsed = None
        return False

    def _takes_lead(self) -> bool:
        return self._careful(self._stand_by) and self._leadership.is_leading

    def _stand_by(self) -> None:
        """Look whether the one that leads is still there."""
        if self._leadership.look():
            # The first sign of life comes with the first look at the folders, unless that takes long.
            self._beat_due = self._clock.monotonic() + _BEAT_SECONDS
        self._beat()
        self._prune_now_and_then()

    def _housekeep(self) -> None:
        self._beat()
        self._keeper.look_for_short()
        self._crew.leave_when_idle(self._clock.monotonic(), _IDLE_SECONDS)
        self._prune_now_and_then()

    def _prune_now_and_then(self) -> None:
        now = self._clock.monotonic()
        if now >= self._prune_due:
            self._prune_due = now + _PRUNE_SECONDS
            self.prune()

    def _is_stopped(self) -> bool:
        """Asked in the middle of long work, which must not look as if this process hung."""
        self._beat()
        return self._stop.is_set()

    def _beat(self, *, at_once: bool = False) -> None:
        now = self._clock.monotonic()
        if at_once or now >= self._beat_due:
            self._beat_due = now + _BEAT_SECONDS
            self._database.write(self._say_alive)
            self._outage.is_over()

    def _say_alive(self, connection: Connection) -> None:
        components.beat(connection, NAME, self._instance, self._clock.now(), period_seconds=_BEAT_SECONDS)
        if not self._leadership.is_standing_by:
            self._leadership.hold(connection)

    def _leave(self) -> None:
        self._leadership.leave()
        self._database.write(lambda connection: components.leave(connection, NAME, self._instance))
