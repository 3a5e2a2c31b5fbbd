"""The end of all that one of ours left behind when it died, whatever has become of it meanwhile.

What runs below us carries a mark in its environment, which tells attempts apart but can be thrown away, and a brand,
which tells only whose it is and stays through every fork and exec, every session and every change of parents.
"""

from __future__ import annotations

import os
import resource
import select
import signal
from contextlib import suppress
from pathlib import Path

from clockmill.host.processes import ATTEMPT_MARK, NO_ATTEMPT, SUPERVISOR_MARK, below, mark_of, marked

#: How many file locks a process may have: since Linux 2.4.25 nobody looks at it, but every child inherits it.
_RLIMIT_LOCKS = 10
#: Brands are from here up to twice this, which nobody would ask for as a limit.
_LEAST_BRAND = 1 << 61
#: How often a sweep looks again at once, because all that it wanted to kill had gone by itself.
_LOOKS = 3


def brand(value: str) -> None:
    """Have this process, and all that it will start, carry the brand of ``value``, like the id of a supervisor.

    Only the soft limit is set, so that another one of ours that is started below can put its own in the place. Where
    the hard limit is lower, or the kernel knows no such limit, there is no brand, and the marks have to do.
    """
    _, most = resource.getrlimit(_RLIMIT_LOCKS)
    with suppress(ValueError, OSError):
        resource.setrlimit(_RLIMIT_LOCKS, (_brand_of(value), most))


def branded(value: str) -> set[int]:
    """The living processes that carry the brand of ``value``."""
    number = _brand_of(value)
    found = set()
    for pid in [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]:
        with suppress(OSError):  # it is gone, or another user's
            if resource.prlimit(pid, _RLIMIT_LOCKS)[0] == number and not _has_ended(pid):
                found.add(pid)
    return found


def _has_ended(pid: int) -> bool:
    """Whether a process is over already, and kept by the kernel until its parent asks for it."""
    handle = os.pidfd_open(pid)
    try:
        return bool(select.select([handle], [], [], 0)[0])
    finally:
        os.close(handle)


def _brand_of(value: str) -> int:
    """A number of its own for each text; a library of hashes would be loaded for it into all that is forked."""
    number = 0
    for byte in value.encode():
        number = (number * 257 + byte + 1) % (_LEAST_BRAND - 1)
    return _LEAST_BRAND + number


class Sweep:
    """Kills every process below one of ours that died, without waiting in between.

    Who adopted the orphans of attempts goes last: below it are also those that have got rid of their marks.

    :param value: the mark that the processes carry, like the id of their supervisor, and what they are branded with.
    :param name: the environment variable that the mark is in.
    """

    def __init__(self, value: str, name: str = SUPERVISOR_MARK) -> None:
        self._name = name
        self._value = value
        self._handles: dict[int, int] = {}

    def step(self) -> bool:
        """Kill what is there now; True once nothing is left. Call it again when a descriptor is readable."""
        # A dying process shows no environment any more while its files are still open: only its handle tells its end.
        gone = set(select.select(self.filenos(), [], [], 0)[0])
        for pid in [pid for pid, handle in self._handles.items() if handle in gone]:
            os.close(self._handles.pop(pid))
        if self._handles:
            return False
        for _ in range(_LOOKS):
            found = branded(self._value).union(marked(self._name, self._value))
            if not found:
                return True
            for pid in self._next(found):
                self._kill(pid)
            if self._handles:
                break
        return False

    def _next(self, found: set[int]) -> set[int]:
        """Who of those is to be killed first: not who adopted orphans, while there is anybody else."""
        parents = {pid for pid in found if mark_of(pid, ATTEMPT_MARK) == NO_ATTEMPT}
        descendants = below(parents) if parents else set()
        # A child that was forked just now does not have its own mark yet.
        return (found | descendants) - (parents - descendants) or parents

    def _kill(self, pid: int) -> None:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return
        self._handles[pid] = handle
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except OSError:  # it was gone before the signal
            os.close(self._handles.pop(pid))

    def filenos(self) -> list[int]:
        """Descriptors that become readable when one of the killed processes is gone."""
        return list(self._handles.values())

    def close(self) -> None:
        """Let go of the handles."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()
