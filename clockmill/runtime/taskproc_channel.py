"""The line of a task process to its supervisor: one socket, one question at a time."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from clockmill.clock import Clock
from clockmill.errors import GatewayUnavailable, TaskGone
from clockmill.host.wire import FrameReader, Message, encode
from clockmill.protocols import AttemptReport, StatesQuery, StatesSeen, Workload, XComQuery

#: Stands beside the fields of a workload whose process may serve another attempt after it.
MAY_STAY = "may_stay"

_READ_BYTES = 1 << 16
_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0


class SocketChannel:
    """The line of one attempt to its supervisor; satisfies :class:`~clockmill.runtime.channel.TaskChannel`."""

    def __init__(self, link: socket.socket, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._reader = FrameReader()
        self._is_asking = False

    def opening(self) -> Message:
        """The first thing that the supervisor says: a workload, and what goes with it."""
        return self._receive()

    def workload(self) -> Workload:
        """The workload that the supervisor sends first."""
        return Workload.from_json(self.opening())

    def started(self, at: str) -> None:
        """Tell that the user's code begins."""
        self._send({"op": "started", "at": at})

    def finish(self, report: AttemptReport, **told: Any) -> None:
        """Tell how it ended: the last word.

        :param told: what becomes of the process.
        """
        self._send({"op": "result", "result": report.to_json(), **told})

    def get_xcoms(self, query: XComQuery) -> list[tuple[str, int, str]]:
        """XComs as ``(task_id, map_index, value as JSON text)``."""
        rows = self._ask("get_xcoms", query=query.to_json())
        return [(task_id, map_index, value) for task_id, map_index, value in rows]

    def measure_xcoms(self, query: XComQuery) -> tuple[int, int | None]:
        """How many such XComs there are, and how many elements the longest has."""
        number, length = self._ask("measure_xcoms", query=query.to_json())
        return number, length

    def get_previous_run(self) -> dict[str, str | None]:
        """The dates of the newest earlier run that succeeded."""
        dates: dict[str, str | None] = self._ask("get_previous_run")
        return dates

    def get_variable(self, key: str) -> str | None:
        """The text of a variable, or None when there is none."""
        value: str | None = self._ask("get_variable", key=key)
        return value

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        """The fields of a connection, or None when there is none."""
        fields: dict[str, Any] | None = self._ask("get_connection", conn_id=conn_id)
        return fields

    def get_states(self, query: StatesQuery) -> StatesSeen:
        """How runs of a DAG and their tasks stand."""
        return StatesSeen.from_json(self._ask("get_states", query=query.to_json()))

    def _ask(self, method: str, **arguments: Any) -> Any:
        wait = _FIRST_WAIT
        while True:
            try:
                return self._ask_once(method, arguments)
            except GatewayUnavailable:
                self._clock.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    @property
    def is_quiet(self) -> bool:
        """Whether no answer is on its way to somebody who waits for it no more."""
        return not self._is_asking

    @property
    def is_own(self) -> bool:
        """Whether this process is the task itself, and none that it forked."""
        return os.getpid() == self._owner

    def _ask_once(self, method: str, arguments: dict[str, Any]) -> Any:
        if not self.is_own:
            raise RuntimeError("Only the process of the task itself can read XComs, variables and connections.")
        with self._lock:
            self._is_asking = True
            self._send({"op": "ask", "method": method, "arguments": arguments})
            answer = self._receive()
            self._is_asking = False
        if "unavailable" in answer:
            raise GatewayUnavailable(answer["unavailable"])
        if "gone" in answer:
            raise TaskGone(answer["gone"])
        if "error" in answer:
            raise RuntimeError(f"{method} failed: {answer['error']}")
        return answer["value"]

    def _send(self, message: Message) -> None:
        self._link.sendall(encode([message]))

    def _receive(self) -> Message:
        while True:
            data = self._link.recv(_READ_BYTES)
            if not data:
                raise TaskGone("Its supervisor is gone.")
            if messages := self._reader.feed(data):
                return messages[0]
