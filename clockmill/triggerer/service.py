"""The triggerer: claims waiting triggers, runs them, and writes the first event of each.

It may die at any moment, and there may be several: a row is written only by the triggerer that it names, once. What a
dead one ran, another one runs again from the beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from clockmill.bundles import Bundle, BundleIncomplete, BundleStore
from clockmill.clock import Clock
from clockmill.config import Settings
from clockmill.host.processes import new_instance
from clockmill.protocols import StatesQuery, StatesSeen
from clockmill.storage import triggers
from clockmill.storage.bundles import load_manifest, read_contents
from clockmill.storage.components import beat, leave, list_components
from clockmill.storage.engine import Connection, Database, DatabaseUnavailable
from clockmill.storage.look import states_seen
from clockmill.storage.outage import Outage
from clockmill.storage.triggers import Fired, WaitingTrigger
from clockmill.storage.wakeup import TRIGGERERS, Call, WakeListener, wake
from clockmill.triggerer.code import TriggerCode
from clockmill.triggerer.life import Beats, LifeFile
from clockmill.triggerer.runner import TriggerRunner
from clockmill.triggerer.steps import StepWatch
from clockmill.triggers.reads import reading_by

log = logging.getLogger(__name__)

NAME = "triggerer"
_PERIOD = 5.0
_DOWN_PAUSE = 0.5
#: Seconds between two claims on call: while many tasks defer, they are taken in batches.
_CLAIM_GAP = 0.1
#: Triggers claimed in one transaction: several triggerers that wake together share what there is.
_CLAIM_AT_ONCE = 500

T = TypeVar("T")


_DEADLY = "RuntimeError: the triggerer died again and again while the code of this trigger was running"


@dataclass
class Findings:
    """What one look at the database found.

    :param held: the triggers that this triggerer is said to run.
    :param to_run: those of them that it does not run yet.
    """

    held: set[int]
    to_run: list[WaitingTrigger]


class TriggererService:
    """One triggerer.

    :param listener: hears the calls of schedulers; this service closes it.
    :param capacity: how many triggers it runs at once.
    :param name: unique among all triggerers there ever were; made when None.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        listener: WakeListener,
        *,
        capacity: int,
        name: str | None = None,
    ) -> None:
        self.name = name or new_instance()
        self._database = database
        self._clock = clock
        self._settings = settings
        self._listener = listener
        self._capacity = capacity
        self._folder = settings.run_folder / "triggerers"
        self._life = LifeFile(self._folder, self.name).hold()
        self._beats = Beats()
        self._outage = Outage(log, clock)
        self._look_due = self._claim_due = clock.monotonic()
        self._is_called = False
        self._bundles = BundleStore(settings.bundles_folder)
        self._watch = StepWatch(clock, self._life.mark)
        # One thread asks the database and one imports modules, so that neither holds up the triggers.
        self._asker = ThreadPoolExecutor(1, "database")
        self._loader = ThreadPoolExecutor(1, "loader")
        code = TriggerCode(self._bundle_path)
        limit = settings.core.max_xcom_bytes
        self._runner = TriggerRunner(code, self._watch, self._loader, max_event_bytes=limit)
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Let :meth:`run` come to its end; called in its loop."""
        self._stop.set()
        self._runner.has_news.set()

    async def run(self) -> None:
        """Run triggers until :meth:`stop`. An outage of the database is waited out: the triggers go on meanwhile."""
        log.info("triggerer %s began", self.name)
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch.look_on, args=(ended,), daemon=True)
        watcher.start()
        try:
            with reading_by(self):
                while not self._stop.is_set():
                    await self._round_whatever_triggers_do()
            await self._leave()
        finally:
            ended.set()
            self.close()

    def close(self) -> None:
        """Let go of threads and files; :meth:`run` does it by itself."""
        self._asker.shutdown()
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._listener.close()
        self._life.remove()

    async def get_states(self, query: StatesQuery) -> StatesSeen:
        """How runs of a DAG and their tasks stand; waits while the database is away."""
        while True:
            try:
                return await self._ask(lambda connection: states_seen(connection, query))
            except DatabaseUnavailable:
                await asyncio.sleep(_PERIOD)

    async def _round(self) -> None:
        try:
            await self.run_once()
        except DatabaseUnavailable as error:
            self._outage.goes_on(error)
            self._beats.forget()
            self._look_due = self._clock.monotonic()
            await asyncio.sleep(_DOWN_PAUSE)
        else:
            self._outage.is_over()
            await self._wait()

    async def _round_whatever_triggers_do(self) -> None:
        """As :meth:`_round`; a trigger that cancels every task of the loop does not end the triggerer."""
        try:
            await self._round()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not self._runner.held:
                raise
            task.uncancel()
            log.warning("a trigger cancelled what is not its own; this triggerer goes on")

    async def run_once(self) -> None:
        """Write what has fired, then look for what is new when somebody called or it is time."""
        self._runner.has_news.clear()
        called = await asyncio.get_running_loop().run_in_executor(self._asker, self._listener.drain)
        self._is_called |= called is not Call.NONE
        await self._write_fired()
        now = self._clock.monotonic()
        if now >= self._look_due:
            await self._look()
        elif self._is_called and now >= self._claim_due:
            await self._claim()

    # --- firing ---------------------------------------------------------------------------------------------------

    async def _write_fired(self) -> None:
        fired = self._runner.fired
        if not fired:
            return
        try:
            await self._write(fired)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("%d events were refused together, trying one by one", len(fired))
            for one in fired:
                await self._write_alone(one)
        self._runner.written([one.id for one in fired])

    async def _write(self, fired: list[Fired]) -> None:
        now = self._clock.now()

        def work() -> None:
            self._database.write(lambda connection: triggers.fire(connection, self.name, fired, now))
            wake(self._database, self._settings.run_folder)

        await asyncio.get_running_loop().run_in_executor(self._asker, work)

    async def _write_alone(self, one: Fired) -> None:
        try:
            await self._write([one])
        except DatabaseUnavailable:
            raise
        except Exception as error:
            log.exception("the event of trigger %d cannot be stored", one.id)
            await self._write([Fired(id=one.id, error=f"The event cannot be stored: {type(error).__name__}")])

    # --- looking --------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Say that this one is alive, take over from the dead, see what is not waited for any more; claim."""
        now = self._clock.monotonic()
        dead = await self._ask(self._dead)
        moment, known, room = self._clock.now(), self._runner.held, self._room()
        found = await self._change(lambda connection: self._find(connection, moment, dead, known, room))
        for name in dead:
            LifeFile(self._folder, name).remove()
            log.warning("triggerer %s is dead: others run its triggers now", name)
        if dead:  # perhaps one of them is over
            await asyncio.get_running_loop().run_in_executor(
                self._asker, wake, self._database, self._settings.run_folder
            )
        self._runner.stop(known - found.held)
        self._begin(found.to_run)
        self._look_due = now + _PERIOD

    async def _claim(self) -> None:
        room = self._room()
        if room:
            self._begin(await self._change(lambda connection: triggers.claim_triggers(connection, self.name, room)))

    def _room(self) -> int:
        return min(_CLAIM_AT_ONCE, max(0, self._capacity - len(self._runner.held)))

    def _begin(self, waiting: list[WaitingTrigger]) -> None:
        self._runner.start(waiting)
        self._is_called = len(waiting) >= _CLAIM_AT_ONCE and self._room() > 0
        self._claim_due = self._clock.monotonic() + (0 if self._is_called else _CLAIM_GAP)

    def _find(self, connection: Connection, moment: datetime, dead: list[str], known: set[int], room: int) -> Findings:
        beat(connection, NAME, self.name, moment, period_seconds=_PERIOD)
        for name in dead:
            self._judge(connection, name, moment)
            self._hand_back(connection, name)
        claimed = triggers.claim_triggers(connection, self.name, room) if room else []
        held = triggers.held_by(connection, self.name)
        # A claim whose commit nobody could tell about may have been one.
        forgotten = triggers.describe(connection, held - known - {one.id for one in claimed})
        return Findings(held, claimed + forgotten)

    def _judge(self, connection: Connection, name: str, moment: datetime) -> None:
        """Count the death of a triggerer against the trigger whose code was running, and end one that has too many.

        It may have been killed from outside. A trigger that kills each triggerer keeps all others from firing.
        """
        culprit = LifeFile(self._folder, name).marked()
        budget = self._settings.core.crash_budget
        if culprit and triggers.count_crash(connection, culprit) > budget:
            triggers.fire(connection, name, [Fired(id=culprit, error=_DEADLY)], moment)

    @staticmethod
    def _hand_back(connection: Connection, name: str) -> None:
        leave(connection, NAME, name)
        triggers.hand_back(connection, name)

    def _dead(self, connection: Connection) -> list[str]:
        # Who holds something has beaten before, so it is read first: a triggerer that is just beginning is no dead one.
        holders = triggers.holders(connection) - {self.name}
        others = {row.instance: row.last_loop for row in list_components(connection) if row.name == NAME}
        others.pop(self.name, None)
        silent = self._beats.silent(others, self._clock.monotonic())
        told = {name: LifeFile(self._folder, name).is_dead() for name in others}
        # One of this host that holds its lock and is silent hangs; what it has, it finds to be others' when it wakes.
        dead = {name for name, is_dead in told.items() if is_dead or name in silent}
        return sorted(dead | (holders - others.keys()))

    # --- around ---------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Until a trigger fires, somebody calls, or it is time to look."""
        loop = asyncio.get_running_loop()
        filenos = self._listener.filenos()
        for fileno in filenos:
            loop.add_reader(fileno, self._runner.has_news.set)
        try:
            due = min(self._look_due, self._claim_due) if self._is_called else self._look_due
            async with asyncio.timeout(max(0.0, due - self._clock.monotonic())):
                await self._runner.has_news.wait()
        except TimeoutError:
            pass
        finally:
            for fileno in filenos:
                loop.remove_reader(fileno)

    async def _leave(self) -> None:
        """Let others go on with what runs here, then end it."""
        with contextlib.suppress(DatabaseUnavailable):  # they see soon enough that this one is dead
            await self._write_fired()
            await self._change(lambda connection: self._hand_back(connection, self.name))
            await asyncio.get_running_loop().run_in_executor(
                self._asker, wake, self._database, self._settings.run_folder, TRIGGERERS
            )
        await self._runner.close()
        log.info("triggerer %s left", self.name)

    async def _ask(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._asker, self._database.read, work)

    async def _change(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._asker, self._database.write, work)

    def _bundle_path(self, bundle_hash: str) -> Path:
        path = self._bundles.path(bundle_hash)
        if path.is_dir():
            return path
        manifest = self._database.read(lambda connection: load_manifest(connection, bundle_hash))
        if manifest is None:
            raise BundleIncomplete(f"The bundle {bundle_hash[:12]} is not stored any more.")
        return self._bundles.materialise(
            Bundle.from_manifest(manifest),
            lambda hashes: self._database.read(lambda connection: read_contents(connection, list(hashes))),
        )
