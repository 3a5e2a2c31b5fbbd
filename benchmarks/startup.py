"""Start-up: from the command to the first 200 of /health in an empty home, and the import that every DAG file makes."""

from __future__ import annotations

import compileall
import subprocess
import sys
import time
from pathlib import Path

import clockmill
from benchmarks.figures import Figure
from benchmarks.stage import stage


def _import_ms() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "from clockmill import DAG, task"], check=True)
    return (time.perf_counter() - start) * 1000


def _healthy_seconds(database: str) -> float:
    with stage(database) as theatre, theatre.standalone() as program:
        return program.await_healthy()


def run(database: str, runs: int) -> list[Figure]:
    """Start ``runs`` times, each in a home of its own; byte-code is compiled before."""
    compileall.compile_dir(str(Path(clockmill.__file__).parent), quiet=1)
    _import_ms()
    return [
        Figure(
            name="standalone, command to healthy", unit="s", values=[_healthy_seconds(database) for _ in range(runs)]
        ),
        Figure(name="from clockmill import DAG, task", unit="ms", values=[_import_ms() for _ in range(max(runs, 5))]),
    ]
