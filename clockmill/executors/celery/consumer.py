"""Listens to the broker for the agent on this machine, by one connection after the other."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from clockmill.clock import Clock
from clockmill.executors.celery.doorbell import is_genuine
from clockmill.executors.celery.ear import Ear, Listening
from clockmill.executors.celery.watch import Watch

log = logging.getLogger(__name__)

#: They would tell again and again, with tracebacks, what is told here once: how a connection ended.
_TALKERS = (logging.getLogger("celery"), logging.getLogger("kombu"), logging.getLogger("amqp"))
#: Seconds between two complaints about messages that nobody with our key has sent.
_COMPLAINT_SECONDS = 60.0
#: Seconds before the next connection: the first is for one that ended, the others for a broker that is not there.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
#: Bytes of a message that is read at all; a doorbell has some hundred.
_LARGEST = 16_384
#: Characters of what is wrong with one, or with the broker, that are told.
_SHOWN = 200
#: Celery lets these win over what it is told.
_OVERRIDES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_CONFIG_MODULE")

Knock = Callable[[str, str], "Future[bool]"]


class Doorman:
    """Listens to the queues of a worker, and acknowledges a doorbell once its attempt is claimed or gone.

    There is one in a process: Celery keeps some of its state for all of it.

    :param knock: offers an attempt, as :meth:`~clockmill.executors.worker.Worker.knock` does.
    :param nudge: called with attempts that are to be stopped somewhere.
    """

    def __init__(
        self,
        listening: Listening,
        *,
        knock: Knock,
        nudge: Callable[[Iterable[str]], None],
        clock: Clock,
    ) -> None:
        self._listening = listening
        self._knock = knock
        self._nudge = nudge
        self._clock = clock
        self._watch = Watch()
        self._ear: Ear | None = None
        self._is_welcome = True
        self._listened = False
        self._failures = 0
        self._complain_at = 0.0
        self._is_stopping = threading.Event()
        self._ended = threading.Event()

    def run(self) -> None:
        """Listen until :meth:`stop`; outages of the broker are waited out."""
        for variable in _OVERRIDES:
            os.environ.pop(variable, None)
        levels = {each: each.level for each in _TALKERS}
        try:
            for each in _TALKERS:
                each.setLevel(logging.CRITICAL)
            while not self._is_stopping.is_set():
                self._is_stopping.wait(self._listen())
        finally:
            for each, level in levels.items():
                each.setLevel(level)
            self._ended.set()

    def stop(self, patience: float) -> None:
        """Listen no more: what was not acknowledged goes back to the broker.

        :param patience: seconds to wait for that; a broker that does not answer must not hold up the end.
        """
        self._is_stopping.set()
        if (ear := self._ear) is not None:
            ear.stop()
        self._ended.wait(patience)

    def welcome(self, is_welcome: bool) -> None:
        """Take doorbells, or leave them to other workers; may be called by any thread."""
        self._is_welcome = is_welcome
        if (ear := self._ear) is not None:
            ear.look()

    def missed(self) -> None:
        """Something was found to do for which nobody has rung here; may be called by any thread."""
        ear = self._ear
        if ear is not None and self._listened and self._watch.missed(self._clock.monotonic()):
            ear.renew("there is work, but no doorbell was heard")

    # --- connections -------------------------------------------------------------------------------------------------

    def _listen(self) -> float:
        """Listen by one connection to its end; returns how long to wait before the next."""
        self._listened = False
        self._ear = Ear(
            self._listening.turned(self._failures),
            on_bell=self._on_bell,
            on_nudge=self._on_nudge,
            on_rubbish=self._unreadable,
            on_ready=self._ready,
            is_welcome=lambda: self._is_welcome,
        )
        if self._is_stopping.is_set():
            self._ear.stop()
        error = self._ear.listen()
        self._ear = None
        return 0.0 if error is None else self._lost(error)

    def _ready(self) -> None:
        self._listened = True
        level = logging.WARNING if self._failures else logging.INFO
        log.log(level, "listens to the queues %s", ", ".join(self._listening.queues))
        self._failures = 0

    def _lost(self, error: Exception) -> float:
        reason = (str(error) or type(error).__name__).partition("\n")[0][:_SHOWN]
        if not self._failures:
            log.warning("no broker, trying again; meanwhile free slots ask for work by themselves: %s", reason)
        self._failures += 1
        return min(_FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _on_bell(self, message: Any) -> Future[bool] | None:
        """A doorbell has come; None when it is none."""
        told = self._read(message)
        if told is None:
            return None
        arguments: Any = told[1] if isinstance(told, list) and len(told) > 1 else None
        if not is_genuine(self._listening.options.key, arguments):
            self._complain("a message without a signature that fits: every machine needs the same [workers] secret")
            return None
        self._watch.heard()
        return self._knock(arguments["attempt_id"], arguments["token"])

    def _on_nudge(self, message: Any) -> None:
        told = self._read(message)
        attempts = told.get("attempt_ids") if isinstance(told, dict) else None
        if isinstance(attempts, list):
            self._nudge([each for each in attempts if isinstance(each, str)])

    def _read(self, message: Any) -> Any:
        """What a message says; None when that cannot be read."""
        try:
            if len(message.body) > _LARGEST:
                raise ValueError(f"it has {len(message.body)} bytes")
            return message.payload
        except Exception as error:  # noqa: BLE001 - whatever is wrong with what anybody may have sent
            self._unreadable(error)
            return None

    def _unreadable(self, error: Exception) -> None:
        self._complain(f"a message that cannot be read: {type(error).__name__}: {error}")

    def _complain(self, what: str) -> None:
        now = self._clock.monotonic()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAINT_SECONDS
            log.warning("dropped %s", what[:_SHOWN])
