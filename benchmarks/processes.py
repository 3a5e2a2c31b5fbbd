"""Looks into ``/proc``: the processes of a tree, their memory and their processor time."""

from __future__ import annotations

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
#: Fields of /proc/PID/stat, counted after the name, which may hold blanks itself.
_PARENT, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 1, 11, 12, 13, 14


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def tree(root: int) -> list[int]:
    """``root`` and every process below it that is alive now."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            parents[int(entry.name)] = int(stat[_PARENT])
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def pss_megabytes(pids: list[int]) -> float:
    """Proportional set size of the processes together: shared pages are counted once."""
    return sum(_pss_kilobytes(pid) for pid in pids) / 1024


def _pss_kilobytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def parent_of(pid: int) -> int:
    """The parent of a process; 0 when it is gone."""
    stat = _stat(pid)
    return int(stat[_PARENT]) if stat else 0


def own_cpu_seconds(pid: int) -> float:
    """User and system time of one process, without its children."""
    stat = _stat(pid)
    return (int(stat[_USER]) + int(stat[_SYSTEM])) / _TICK if stat else 0.0


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of the processes, children that they have reaped included."""
    stats = (stat for pid in pids if (stat := _stat(pid)))
    wanted = (_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM)
    return sum(int(stat[field]) for stat in stats for field in wanted) / _TICK
