"""What an attempt may leave behind in its process: noted before, looked for and mended after.

Mended is what can be put back for sure. All else is named, and the process serves no other attempt.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from clockmill.clock import SystemClock
from clockmill.runtime.footprint_python import PythonState

#: The lines of ``/proc/self/status`` that must stay as they are.
_KEPT = re.compile(rb"^(?:Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp|Cpus_allowed|Mems_allowed):.*$", re.MULTILINE)
_SIGNALS = re.compile(rb"^Sig(?:Blk|Ign|Cgt):.*$", re.MULTILINE)
_UMASK = re.compile(rb"^Umask:\t(\d+)$", re.MULTILINE)
_THREADS = re.compile(rb"^Threads:\t(\d+)$", re.MULTILINE)
_RESIDENT = re.compile(rb"^VmRSS:\t *(\d+) kB$", re.MULTILINE)
#: Memory may grow to so many times what it was, and by so many kilobytes more.
_GROWTH = 1.5
_GROWTH_KB = 64 << 10
#: Any child, however it was made; Python has no name for it.
_WALL = 0x40000000
#: All that Linux has; Python has no name for the newest of them.
_EVERY_LIMIT = range(16)
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
#: The kernel takes a moment to let go of a thread that Python has joined already: so often, so many seconds.
_THREAD_LOOKS = 5
_THREAD_PAUSE = 0.0005


class Footprint:
    """The process as its DAG file left it once it was loaded.

    :param own: descriptors that must go on to be what they are now.
    :param variables: the names of the environment variables that each attempt has of its own.
    """

    def __init__(self, own: Iterable[int], variables: Iterable[str] = ()) -> None:
        text = _status()
        self._kept = _KEPT.findall(text)
        self._signals = _SIGNALS.findall(text)
        self._umask = int(_found(_UMASK, text), 8)
        self._threads = int(_found(_THREADS, text))
        self._most_kb = int(_found(_RESIDENT, text)) * _GROWTH + _GROWTH_KB
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._caught = {number: handler for number, handler in self._handlers.items() if callable(handler)}
        self._descriptors = _open_descriptors()
        self._own = {descriptor: _identity(descriptor) for descriptor in own}
        self._limits = _limits()
        self._folder = Path.cwd()
        self._environment = dict(os.environ)
        self._of_attempt = frozenset(os.fsencode(name) for name in variables)
        self._variables = self._others()
        self._python = PythonState()

    def mend(self) -> str:
        """Put back what can be put back; returns what is left, or an empty text."""
        return (
            self._mend_environment()
            or self._python.mend()
            or _children()
            or self._foreign_descriptors()
            or self._mend_folder()
            or self._mend_kernel()
            or ("" if _limits() == self._limits else "it changed its resource limits or niceness")
        )

    def _mend_environment(self) -> str:
        """Put the variables back; those of the attempt itself, the next one replaces."""
        if self._others() == self._variables:
            return ""
        now = dict(os.environ)
        if now.get("TZ") != self._environment.get("TZ"):
            return "it changed its time zone"
        for name in now.keys() - self._environment.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in self._environment.items() if now.get(name) != value})
        return ""

    def _others(self) -> dict[bytes, bytes]:
        """The variables that are not of one attempt, as they are stored: to decode them all takes ten times as long."""
        stored: dict[bytes, bytes] = vars(os.environ)["_data"]
        return {name: value for name, value in stored.items() if name not in self._of_attempt}

    def _mend_folder(self) -> str:
        with suppress(OSError):
            if Path.cwd() == self._folder:
                return ""
        try:
            os.chdir(self._folder)
        except OSError:
            return "its working folder is gone"
        return ""

    def _foreign_descriptors(self) -> str:
        if _open_descriptors() != self._descriptors:
            return "it left files or sockets open, or closed what was not its own"
        if any(_identity(descriptor) != identity for descriptor, identity in self._own.items()):
            return "it closed what was not its own"
        return ""

    def _mend_kernel(self) -> str:
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        text = _status()
        if _SIGNALS.findall(text) != self._signals or self._handlers_differ():
            self._mend_signals()
            text = _status()
        if int(_found(_UMASK, text), 8) != self._umask:
            os.umask(self._umask)
        if int(_found(_RESIDENT, text)) > self._most_kb:
            return "its memory grew"
        if self._has_threads(text):
            return "it left threads running"
        if _SIGNALS.findall(text) != self._signals:
            return "it changed its signal handling"
        return "" if _KEPT.findall(text) == self._kept else "it changed its rights or where it may run"

    def _handlers_differ(self) -> bool:
        return any(signal.getsignal(number) is not handler for number, handler in self._caught.items())

    def _mend_signals(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    def _has_threads(self, text: bytes) -> bool:
        """Whether threads of Python run, or more of other libraries than when the file was loaded."""
        if threading.active_count() > 1:
            return True
        for _ in range(_THREAD_LOOKS):
            if int(_found(_THREADS, text)) <= self._threads:
                return False
            SystemClock().sleep(_THREAD_PAUSE)
            text = _status()
        return True


def _status() -> bytes:
    descriptor = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 14)
    finally:
        os.close(descriptor)


def _found(pattern: re.Pattern[bytes], text: bytes) -> bytes:
    match = pattern.search(text)
    assert match is not None
    return match[1]


def _open_descriptors() -> frozenset[str]:
    return frozenset(os.listdir("/proc/self/fd"))  # noqa: PTH208 - this is done after each attempt, and faster


def _identity(descriptor: int) -> tuple[int, int]:
    try:
        facts = os.fstat(descriptor)
    except OSError:
        return (0, 0)
    return (facts.st_dev, facts.st_ino)


def _limits() -> list[Any]:
    return [os.getpriority(os.PRIO_PROCESS, 0), *map(resource.getrlimit, _EVERY_LIMIT)]


def _children() -> str:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL)
    except ChildProcessError:
        return ""
    return "it left child processes"
