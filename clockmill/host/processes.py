"""What we ask of the Linux kernel about processes: parents, marks, and the end of those that nobody owns."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: The descriptor by which the process of an attempt talks with its supervisor.
CONTROL_FD = 3
#: The descriptors that a supervisor is started with: its lock, and the socket at which it listens.
LIFE_FD = 3
LISTEN_FD = 4
#: The environment variable that every process of an attempt carries.
ATTEMPT_MARK = "ATTEMPT_ID"
#: Its value in the process that starts those of attempts, and adopts their orphans.
NO_ATTEMPT = "0" * 32
#: The environment variable that every process below a supervisor carries.
SUPERVISOR_MARK = "CLOCKMILL_SUPERVISOR"
#: The environment variable that every process below a parsing process carries.
PARSER_MARK = "CLOCKMILL_PARSER"
#: Settings may hold the database URL, keys or a broker URL: no process that runs user code inherits them.
SETTINGS_PREFIX = "CLOCKMILL__"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# Looked up here, because little is safe in a child between fork and exec, where it may be called.
_libc_prctl = ctypes.CDLL(None, use_errno=True).prctl


def _prctl(option: int, value: int) -> None:
    if _libc_prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent(parent: int) -> None:
    """Be killed when the parent dies; leave at once when process ``parent`` is no longer it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """Undo :func:`die_with_parent`."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children_of(pid: int) -> set[int]:
    """The processes that the main thread of ``pid`` has as children, zombies included."""
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def host_name() -> str:
    """The name of this machine."""
    return os.uname().nodename


def new_instance() -> str:
    """``HOST:PID:RANDOM``, a name for a service of this process that no other ever had, of 64 characters at most.

    Hosts may share a name, and in containers each service is process 1.
    """
    tail = f":{os.getpid()}:{os.urandom(4).hex()}"
    return f"{host_name()[: 64 - len(tail)]}{tail}"


def boot_id() -> str:
    """The kernel's id of the present boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def wake_on_signals(*numbers: int) -> int:
    """Have these signals tell of themselves by a byte each in a pipe; returns the end to read, non-blocking."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in numbers:
        signal.signal(number, _do_nothing)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _do_nothing(_number: int, _frame: object) -> None:
    """The byte in the pipe is the news; a handler is needed only so that the signal is not ignored."""


def kill(pid: int) -> None:
    """Kill a process, unless it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def signal_group(leader: int, number: int) -> None:
    """Signal a process group; a process that does not lead one yet is signalled alone.

    Passed over is what is gone, and what has become another user's.
    """
    with suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(leader, number)
        except ProcessLookupError:
            os.kill(leader, number)


def clean_environment(environ: Iterable[tuple[str, str]]) -> dict[str, str]:
    """``environ`` without what user code must not see."""
    return {name: value for name, value in environ if not name.startswith(SETTINGS_PREFIX)}


def mark_of(pid: int, name: str) -> str | None:
    """The value of the environment variable ``name`` of a process, or None when it has none or is gone."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    prefix = name.encode() + b"="
    for entry in environ.split(b"\0"):
        if entry.startswith(prefix):
            return os.fsdecode(entry[len(prefix) :])
    return None


def watch_end(pid: int) -> int | None:
    """A descriptor that becomes readable when process ``pid`` is gone, or None when it is."""
    try:
        return os.pidfd_open(pid) if pid > 0 else None
    except OSError:
        return None


def marked(name: str, value: str) -> list[int]:
    """The living processes whose environment has ``name=value``, and the rest of the sessions that they lead."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    found = {pid for pid in pids if mark_of(pid, name) == value}
    return sorted(found | {pid for pid in pids if session_of(pid) in found})


def below(roots: set[int]) -> set[int]:
    """All living descendants of some processes."""
    children: dict[int, list[int]] = {}
    for pid in [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]:
        with suppress(OSError):
            state, parent = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        fresh = [pid for pid in children.get(todo.pop(), ()) if pid not in found]
        found.update(fresh)
        todo += fresh
    return found


def session_of(pid: int) -> int | None:
    """The session of a process, or None when it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None
