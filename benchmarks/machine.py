"""The limits of this machine, measured in the same run as what is compared with them."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure

_LOOP = 2_000_000


def fsyncs_per_second(seconds: float = 1.0) -> float:
    """How often a small append reaches the disk."""
    with tempfile.NamedTemporaryFile(prefix="clockmill-bench-") as file:
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            os.write(file.fileno(), b"x" * 512)
            os.fsync(file.fileno())
            count += 1
        return count / (time.perf_counter() - start)


def python_start_ms() -> float:
    """Milliseconds of a Python interpreter that does nothing."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.perf_counter() - start) * 1000


def _spin() -> float:
    start = time.perf_counter()
    total = 0
    for number in range(_LOOP):
        total += number
    return time.perf_counter() - start


def two_core_slowdown() -> float:
    """How much slower a loop is while another core runs the same; 1 when the cores are really two."""
    alone = _spin()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.apply(_spin)
        both = [pool.apply_async(_spin) for _ in range(2)]
        return max(result.get() for result in both) / alone


def limits(runs: int) -> list[Figure]:
    """Every limit, each measured ``runs`` times."""
    return [
        Figure(name="fsync of 512 bytes", unit="1/s", values=[fsyncs_per_second() for _ in range(runs)]),
        Figure(name="start of Python", unit="ms", values=[python_start_ms() for _ in range(max(runs, 5))]),
        Figure(name="a loop beside another, against alone", unit="times", values=[two_core_slowdown()]),
    ]


def description() -> dict[str, object]:
    """What the machine is."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    return {"processor": model, "cores": len(os.sched_getaffinity(0)), "python": sys.version.split()[0]}
