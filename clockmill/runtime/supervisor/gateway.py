"""The supervisor's way to the task gateway: one thread, so that a slow database never holds up the loop."""

from __future__ import annotations

import importlib
import itertools
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from clockmill.clock import Clock
from clockmill.errors import GatewayUnavailable, TaskGone
from clockmill.host.wire import Message
from clockmill.protocols import ReadGateway
from clockmill.runtime.supervisor.loop import READ, Loop

#: Seconds after which a task is told to ask again.
CALL_LIMIT = 30.0
_READS = frozenset({"get_xcoms", "measure_xcoms", "get_variable", "get_connection", "get_previous_run", "get_states"})

Answer = Callable[[Message], None]


class GatewayThread:
    """Answers the reads of tasks.

    The gateway, and with it everything that talks to a database, is imported at the first read.

    :param factory: ``module:function`` that makes a :class:`~clockmill.protocols.ReadGateway` from ``spec``.
    """

    def __init__(self, loop: Loop, clock: Clock, factory: str, spec: dict[str, Any]) -> None:
        self._loop = loop
        self._clock = clock
        self._factory = factory
        self._spec = spec
        self._gateway: ReadGateway | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, tuple[float, Answer]] = {}
        self._asked: queue.SimpleQueue[tuple[int, str, Message] | None] = queue.SimpleQueue()
        self._answered: queue.SimpleQueue[tuple[int, Message]] = queue.SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        loop.watch(self._bell, READ, self._deliver)

    def ask(self, method: str, arguments: Message, answer: Answer) -> None:
        """Have a read done; ``answer`` is called from the loop, with ``value``, ``unavailable``, ``gone`` or ``error``.

        :param method: a method of the gateway.
        :param arguments: ``attempt_id``, ``token`` and the arguments of the method.
        """
        if method not in _READS:
            answer({"error": f"A task cannot call {method!r}."})
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="gateway", daemon=True)
            self._thread.start()
        number = next(self._numbers)
        self._waiting[number] = (self._clock.monotonic() + CALL_LIMIT, answer)
        self._asked.put((number, method, arguments))

    @property
    def due(self) -> float:
        """When the oldest read has waited too long."""
        return next(iter(self._waiting.values()))[0] if self._waiting else float("inf")

    def check(self, now: float) -> None:
        """Tell tasks whose read has waited too long to ask again."""
        while self.due <= now:
            _, answer = self._waiting.pop(next(iter(self._waiting)))
            answer({"unavailable": f"No answer within {CALL_LIMIT:g} s."})

    def close(self) -> None:
        """Ask the thread to end after what it is doing; it never holds up the end of the process."""
        self._asked.put(None)

    def _deliver(self, ready: int) -> None:
        os.eventfd_read(self._bell)
        while not self._answered.empty():
            number, message = self._answered.get()
            if waiting := self._waiting.pop(number, None):
                waiting[1](message)

    def _work(self) -> None:
        while (request := self._asked.get()) is not None:
            number, method, arguments = request
            if number not in self._waiting:  # given up already: the task asks again
                continue
            self._answered.put((number, self._call(method, arguments)))
            os.eventfd_write(self._bell, 1)
        if self._gateway is not None:
            self._gateway.close()

    def _call(self, method: str, arguments: Message) -> Message:
        try:
            if self._gateway is None:
                self._gateway = self._open()
            return {"value": getattr(self._gateway, method)(**arguments)}
        except GatewayUnavailable as error:
            return {"unavailable": str(error)}
        except TaskGone as error:
            return {"gone": str(error)}
        except Exception as error:  # noqa: BLE001 - a read that fails is the task's trouble, never the supervisor's
            traceback.print_exc(file=sys.stderr)
            return {"error": f"{type(error).__name__}: {error}"}

    def _open(self) -> ReadGateway:
        module, _, name = self._factory.partition(":")
        gateway: ReadGateway = getattr(importlib.import_module(module), name)(self._spec)
        return gateway
