"""The services of one process: a thread for each, and one place that hears of signals and of services that ended."""

from __future__ import annotations

import logging
import select
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(eq=False)
class _Member:
    name: str
    has_ended: bool = False
    error: BaseException | None = None


@dataclass
class Crew:
    """Threads that work, watched from the main thread, where signals arrive.

    Signals and ends of threads both write to one socket pair, so that one ``select`` waits for either: an Event set
    in a signal handler could wait for a lock that the interrupted thread holds.

    :param signals: how often somebody has asked to stop.
    """

    signals: int = 0
    _members: list[_Member] = field(default_factory=list)
    _ears: tuple[socket.socket, socket.socket] = field(default_factory=socket.socketpair)

    def __enter__(self) -> Self:
        for end in self._ears:
            end.setblocking(False)
        signal.set_wakeup_fd(self._ears[1].fileno(), warn_on_full_buffer=False)
        self._previous = {each: signal.signal(each, _do_nothing) for each in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for each, previous in self._previous.items():
            signal.signal(each, previous)
        for end in self._ears:
            end.close()

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Let ``work`` run in a thread of its own; it is a failure when it ends before it was asked to."""
        member = _Member(name)
        self._members.append(member)
        threading.Thread(target=self._run, args=(member, work), name=name, daemon=True).start()

    def is_working(self, *names: str) -> bool:
        """Whether any of these services, or of all, has not ended."""
        return any(not each.has_ended for each in self._members if not names or each.name in names)

    def raise_failure(self) -> None:
        """Raise what ended a service, if anything did."""
        for member in self._members:
            if member.error is not None:
                raise member.error

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for a signal or the end of a service, at most so many seconds; whether there was one."""
        ready, _, _ = select.select([self._ears[0]], [], [], seconds)
        if not ready:
            return False
        # A signal arrives as its number, the end of a thread as zero.
        self.signals += sum(byte in _SIGNALS for byte in self._ears[0].recv(4096))
        return True

    def _run(self, member: _Member, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            log.error("a service ended by an error", exc_info=error, extra={"service": member.name})
            member.error = error
        finally:
            member.has_ended = True
            self._ears[1].send(b"\0")


def _do_nothing(_number: int, _frame: object) -> None:
    """The wake-up descriptor tells of the signal; a handler is needed only so that Python does not die of it."""
