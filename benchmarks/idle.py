"""Idle: processor time of all processes of ``standalone`` over a minute in which nothing is due."""

from __future__ import annotations

import time

from benchmarks.figures import Figure
from benchmarks.processes import cpu_seconds, tree
from benchmarks.stage import stage


def run(database: str, runs: int, *, seconds: float = 60.0, settle: float = 5.0) -> list[Figure]:
    """Start without examples, let it settle, and count; ``runs`` times."""
    used = []
    for _ in range(runs):
        with stage(database) as theatre, theatre.standalone("--no-examples") as program:
            time.sleep(settle)
            before = cpu_seconds(tree(program.process.pid))
            time.sleep(seconds)
            used.append(cpu_seconds(tree(program.process.pid)) - before)
    return [
        Figure(name=f"idle for {seconds:.0f} s: CPU of all processes", unit="s", values=used),
        Figure(name="idle: share of a core", unit="%", values=[100 * value / seconds for value in used]),
    ]
