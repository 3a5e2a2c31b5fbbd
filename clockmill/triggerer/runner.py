"""The triggers that a triggerer runs, each an asyncio task; what comes of them waits here to be written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from concurrent.futures import Executor
from functools import partial

from clockmill.errors import SerializationError
from clockmill.storage.triggers import Fired, WaitingTrigger
from clockmill.triggerer.code import TriggerCode
from clockmill.triggerer.steps import StepWatch
from clockmill.triggers.base import BaseTrigger
from clockmill.triggers.running import failure_text, first_event
from clockmill.xcom import check_size, encode

log = logging.getLogger(__name__)

#: Seconds that a trigger has to clean up.
_CLEANUP_SECONDS = 10.0


class TriggerRunner:
    """Runs triggers until each has fired once or is told to stop.

    :param loader: the thread in which the author's modules are imported, because that may take long.
    :param max_event_bytes: the largest event.
    """

    def __init__(self, code: TriggerCode, watch: StepWatch, loader: Executor, *, max_event_bytes: int) -> None:
        self._code = code
        self._watch = watch
        self._loader = loader
        self._max_event_bytes = max_event_bytes
        self._running: dict[int, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._fired: dict[int, Fired] = {}
        self.has_news = asyncio.Event()

    @property
    def held(self) -> set[int]:
        """The triggers that run, or have fired and are not written yet."""
        return self._running.keys() | self._fired.keys()

    @property
    def fired(self) -> list[Fired]:
        """What is to be written, in the order in which it came."""
        return list(self._fired.values())

    def start(self, waiting: Iterable[WaitingTrigger]) -> None:
        """Run these."""
        for one in waiting:
            task = asyncio.create_task(self._run(one))
            self._running[one.id] = task
            task.add_done_callback(partial(self._ended, one))

    def _ended(self, waiting: WaitingTrigger, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if self._running.get(waiting.id) is task:  # another one cancelled it before it began
            self.start([waiting])

    def written(self, ids: Collection[int]) -> None:
        """Forget what was written, or is nobody's to write any more."""
        for ident in ids:
            self._fired.pop(ident, None)

    def stop(self, ids: Collection[int]) -> None:
        """End these: their tasks do not wait for them any more."""
        for ident in ids:
            self._fired.pop(ident, None)
            if task := self._running.pop(ident, None):
                self._ending.add(task)
                task.cancel()

    async def close(self) -> None:
        """End all, and wait until they have cleaned up."""
        self.stop(list(self._running))
        if self._ending:
            await asyncio.wait(self._ending, timeout=_CLEANUP_SECONDS + 1)

    def _tell(self, ident: int, *, event: str | None = None, error: str | None = None) -> None:
        task = self._running.pop(ident, None)
        if task is None:  # it was told to stop
            return
        self._ending.add(task)
        self._fired[ident] = Fired(id=ident, event=event, error=error)
        self.has_news.set()

    async def _run(self, waiting: WaitingTrigger) -> None:
        try:
            trigger = await self._make(waiting)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - modules of authors may raise anything
            self._fail(waiting, error)
            return
        try:
            event = await first_event(trigger, partial(self._watch, name=waiting.name, ident=waiting.id))
            self._tell(waiting.id, event=self._encoded(event.payload))
        except asyncio.CancelledError:
            if waiting.id in self._running:  # nobody stopped it but itself
                self._fail(waiting, RuntimeError("the trigger cancelled itself"))
        except BaseException as error:  # noqa: BLE001 - triggers of authors may raise anything
            self._fail(waiting, error)
        finally:
            await self._clean_up(trigger, waiting)

    async def _make(self, waiting: WaitingTrigger) -> BaseTrigger:
        if self._code.is_ours(waiting):
            return self._code.make(waiting)
        return await asyncio.get_running_loop().run_in_executor(self._loader, self._code.make, waiting)

    def _encoded(self, payload: object) -> str:
        try:
            text = encode(payload)
        except SerializationError as error:
            raise SerializationError(f"event: {error}") from None
        check_size("event", text, self._max_event_bytes)
        return text

    async def _clean_up(self, trigger: BaseTrigger, waiting: WaitingTrigger) -> None:
        if type(trigger).cleanup is BaseTrigger.cleanup:
            return
        try:
            async with asyncio.timeout(_CLEANUP_SECONDS):
                await self._watch(trigger.cleanup(), waiting.name, waiting.id)
        except (Exception, SystemExit, KeyboardInterrupt):
            log.exception("a trigger could not clean up", extra={"trigger": waiting.name})

    def _fail(self, waiting: WaitingTrigger, error: BaseException) -> None:
        log.warning("a trigger failed", exc_info=error, extra={"trigger": waiting.name})
        self._tell(waiting.id, error=failure_text(error))
