"""Memory: proportional set size of the whole process tree of ``standalone``, a minute after it is ready."""

from __future__ import annotations

import time

from benchmarks.figures import Figure
from benchmarks.processes import pss_megabytes, tree
from benchmarks.stage import stage


def run(database: str, runs: int, *, seconds: float = 60.0) -> list[Figure]:
    """Start with the examples, wait, and weigh; ``runs`` times."""
    weights, counts = [], []
    for _ in range(runs):
        with stage(database) as theatre, theatre.standalone() as program:
            time.sleep(seconds)
            pids = tree(program.process.pid)
            weights.append(pss_megabytes(pids))
            counts.append(len(pids))
    return [
        Figure(name=f"standalone, {seconds:.0f} s after ready: PSS", unit="MB", values=weights),
        Figure(name="standalone: processes", unit="", values=counts),
    ]
