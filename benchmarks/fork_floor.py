"""The floor of a process per task: how fast a loaded zygote forks children that call setsid and exit, two in flight.

``python -m benchmarks.fork_floor FOLDER FILE`` prints the forks per second of this process after it has loaded what a
zygote loads and that DAG file.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

from clockmill.runtime import taskproc

IN_FLIGHT = 2
SECONDS = 2.0


def forks_per_second(seconds: float = SECONDS) -> float:
    """Fork, wait for the oldest when two are in flight, and count those that ended."""
    gc.collect()
    gc.freeze()
    ended, flying = 0, 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        if flying == IN_FLIGHT:
            os.wait()
            ended, flying = ended + 1, flying - 1
        if os.fork() == 0:
            os.setsid()
            os._exit(0)
        flying += 1
    took = time.perf_counter() - start
    for _ in range(flying):
        os.wait()
    return ended / took


def measured(file: Path) -> float:
    """Forks per second of a fresh process that has loaded a DAG file."""
    command = [sys.executable, "-m", "benchmarks.fork_floor", str(file.parent), file.name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    taskproc.load_file(Path(sys.argv[1]), sys.argv[2])
    print(forks_per_second())
