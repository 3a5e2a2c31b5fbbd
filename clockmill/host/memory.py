"""How much memory processes use, as the Linux kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path

from clockmill.host.processes import children_of, session_of

_PAGE = os.sysconf("SC_PAGE_SIZE")


def family(leader: int, reaper: int) -> set[int]:
    """A process, what descends from it, and what of its session was left to the process that reaps orphans."""
    found: set[int] = set()
    new = {leader, *_orphans(leader, reaper)}
    while new:
        found |= new
        new = {child for pid in new for child in _children(pid)} - found
    return found


def resident(pids: set[int]) -> int:
    """The bytes that these processes have in memory, what several of them share counted for each."""
    return sum(_resident(pid) for pid in pids)


def proportional(pids: set[int]) -> int:
    """The bytes that these processes have in memory, what several processes share divided among them.

    The kernel walks through all of their pages for it.
    """
    return sum(_proportional(pid) for pid in pids)


def _orphans(leader: int, reaper: int) -> set[int]:
    try:
        return {pid for pid in children_of(reaper) if session_of(pid) == leader}
    except OSError:
        return set()


def _children(pid: int) -> set[int]:
    """The children of all threads of a process."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return set()
    return {int(child) for thread in threads for child in _read(thread / "children").split()}


def _resident(pid: int) -> int:
    pages = _read(Path(f"/proc/{pid}/statm")).split()
    return int(pages[1]) * _PAGE if pages else 0


def _proportional(pid: int) -> int:
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return _resident(pid)  # it may not be looked at more closely, or is gone


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
