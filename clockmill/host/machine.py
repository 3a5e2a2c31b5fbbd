"""What this machine, or the container that we are in, has to offer."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def processors() -> float:
    """The processors that we may use, at least a tenth of one; of a container whose share is limited, that share."""
    most = float(len(os.sched_getaffinity(0)))
    for folder in _folders("cpu", "cpu,cpuacct"):
        share = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        if len(share) == 2 and all(part.isdecimal() for part in share) and int(share[1]) > 0:
            most = min(most, int(share[0]) / int(share[1]))
    return max(0.1, math.floor(most * 10) / 10)


def memory() -> int:
    """The bytes of memory that we may use: of the machine, or of the container when that is less."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _folders("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            found = _words(folder / name)
            if found and found[0].isdecimal():
                most = min(most, int(found[0]))
    return most


def resources() -> dict[str, float]:
    """Both, by the names that tasks ask for them."""
    count = processors()
    return {"cpu": int(count) if count == int(count) else count, "memory": memory()}


def _folders(*controllers: str) -> Iterator[Path]:
    """The control groups that we are in, from the inside out, as far as they can be seen from here."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if names and not set(names.split(",")) & set(controllers):
            continue
        root = _CGROUPS / names if names else _CGROUPS
        folder = root / path.lstrip("/")
        yield from (each for each in (folder, *folder.parents) if each == root or root in each.parents)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
