"""A task process that serves one attempt after the other, for as long as each leaves it as it was.

Its supervisor says with each workload whether the process may stay. After a good end the process looks at itself; when
it finds nothing that the next attempt could trip over, it lets go of the output of this one, says so with its result,
and waits for the next workload, which comes with an output of its own.
"""

from __future__ import annotations

import contextvars
import ctypes
import os
import random
import resource
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clockmill.clock import SystemClock
from clockmill.host import processes
from clockmill.host.wire import FrameReader, Message
from clockmill.model.dag import DAG
from clockmill.protocols import AttemptReport, Workload
from clockmill.runtime.footprint import Footprint
from clockmill.runtime.taskproc import (
    Loader,
    exit_code_of,
    flush_output,
    introduce,
    perform,
    reseed_numpy,
    variables_of,
)
from clockmill.runtime.taskproc_channel import MAY_STAY, SocketChannel
from clockmill.state import GOOD_OUTCOMES

_READ_BYTES = 1 << 16
_NO_ATTEMPT = "0" * 32
#: Resets the peak of memory that the kernel keeps for a process.
_RESET_PEAK = b"5"
_flush_c_streams = ctypes.CDLL(None).fflush


def serve(
    link: socket.socket, channel: SocketChannel, opening: Message, load: Loader, show_mark: Callable[[str], None]
) -> int:
    """Serve attempts until one leaves traces, or the supervisor wants no more; returns the exit code.

    :param channel: the line for the first attempt, on ``link``.
    :param opening: the first workload.
    """
    server = _Server(link, load, show_mark)
    told: Message | None = opening
    code = 0
    while told is not None:
        code = server.serve(channel, told)
        told = server.wait() if server.stays else None
        channel = SocketChannel(link, SystemClock())
    return code


@dataclass(frozen=True, slots=True)
class _Usage:
    """What this process and the children that it waited for have used."""

    cpu: float
    peak_kb: int
    children_peak_kb: int

    @classmethod
    def now(cls) -> _Usage:
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        return cls(cpu, own.ru_maxrss, children.ru_maxrss)


class _Server:
    """The process between its attempts.

    :ivar stays: whether it waits for another one.
    """

    def __init__(self, link: socket.socket, load: Loader, show_mark: Callable[[str], None]) -> None:
        # What its children leave behind, it has to know of: another attempt must not begin beside that.
        processes.adopt_orphans()
        self.stays = False
        self._link = link
        self._load = load
        self._show_mark = show_mark
        self._loaded: _Loaded | None = None
        self._footprint: Footprint | None = None
        self._before = _Usage(0.0, 0, 0)

    def serve(self, channel: SocketChannel, told: Mapping[str, Any]) -> int:
        """Serve one attempt; returns the exit code of a process that ends with it."""
        workload = Workload.from_json(dict(told))
        self.stays = False
        if self._loaded is None:
            introduce(workload)
            self._loaded = _Loaded(self._load, workload)
            self._footprint = Footprint((0, self._link.fileno()), variables_of(workload))
        report = contextvars.copy_context().run(_perform, workload, self._loaded, channel)
        if channel.is_own:  # the user's code may have forked, and come back here twice
            self._tell(channel, report, may_stay=told.get(MAY_STAY, False))
        return exit_code_of(report)

    def wait(self) -> Message | None:
        """The next workload, its output in place; None when there is none."""
        told, output = self._receive()
        if told is None or output is None:
            return None
        _write_to(output)
        self._show_mark(told["attempt_id"])
        self._freshen()
        return told

    def _freshen(self) -> None:
        random.seed()
        reseed_numpy()
        _reset_peak()

    def _tell(self, channel: SocketChannel, report: AttemptReport, *, may_stay: bool) -> None:
        usage = _Usage.now()
        trace = self._trace(channel, report, usage) if may_stay else ""
        if not may_stay or trace:
            channel.finish(report, leaves=trace)
            return
        _flush_c_streams(None)
        _write_to(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
        self.stays = True
        self._show_mark(_NO_ATTEMPT)  # once its end is told, nothing may look as if it were of this attempt
        spent = {"cpu": usage.cpu - self._before.cpu, "peak_kb": usage.peak_kb}
        self._before = usage  # what is done between two attempts counts for the later one
        channel.finish(report, stays=spent)

    def _trace(self, channel: SocketChannel, report: AttemptReport, usage: _Usage) -> str:
        """Why this process cannot serve another attempt; empty when it can. What can be mended, is."""
        if report.outcome not in GOOD_OUTCOMES or report.exit_code is not None:
            return "it ended its process itself" if report.outcome in GOOD_OUTCOMES else "it did not end well"
        if not channel.is_quiet:
            return "it broke off a question"
        # The kernel keeps the peak of the largest child for ever, so only the first that is so large can be told.
        if usage.children_peak_kb > max(usage.peak_kb, self._before.children_peak_kb):
            return "its child processes were larger than it"
        assert self._footprint is not None
        try:
            return self._footprint.mend()
        except Exception as error:  # noqa: BLE001 - the author may have put anything in the place of anything
            return f"it could not be looked at: {type(error).__name__}"

    def _receive(self) -> tuple[Message | None, int | None]:
        reader = FrameReader()
        output = None
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._link, _READ_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                data, descriptors = b"", []
            output = descriptors[0] if descriptors else output
            if not data:
                return None, output
            if messages := reader.feed(data):
                return messages[0], output


def _perform(workload: Workload, load: Loader, channel: SocketChannel) -> AttemptReport:
    if decimal := sys.modules.get("decimal"):  # the context is copied for each attempt, but not what it holds
        decimal.setcontext(decimal.getcontext().copy())
    return perform(workload, load, channel)


class _Loaded:
    """The DAGs of the file that this process serves, imported before the first attempt and outside of it.

    What the import itself sets, as environment variables or context variables, is there for every attempt.
    """

    def __init__(self, load: Loader, workload: Workload) -> None:
        self._dags: dict[str, DAG] = {}
        self._error: BaseException | None = None
        try:
            self._dags = load(workload)
        except BaseException as error:  # noqa: BLE001 - the file is the user's; the attempt tells the error in its log
            self._error = error
        flush_output()

    def __call__(self, workload: Workload) -> dict[str, DAG]:
        if self._error is not None:
            raise self._error
        return self._dags


def _write_to(descriptor: int) -> None:
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _reset_peak() -> None:
    try:
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # not every kernel has it; then it is the peak of all attempts so far
        return
    try:
        os.write(descriptor, _RESET_PEAK)
    finally:
        os.close(descriptor)
