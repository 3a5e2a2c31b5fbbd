"""Many tasks that do nothing, by way of Redis and two task processes: Celery by itself, and others against it.

A round measures each in turn, so that all see the same machine; the share is taken round by round.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.bare_celery import bare_celery
from benchmarks.figures import Figure
from benchmarks.mill_celery import mill_celery
from clockmill.testing.servers import redis_server

#: The one that the others are compared with.
BARE = "bare Celery"

#: Runs so many tasks and gives the rate: tasks by the time from the first start to the last end.
Rate = Callable[[int], float]

#: Redis as it is installed: it keeps messages over a stop, but not each one over a crash.
_AS_INSTALLED: Mapping[str, str] = {}


def run(database: str, runs: int, *, tasks: int = 1000) -> list[Figure]:
    """Measure each ``runs`` times, after one round that warms up."""
    with (
        tempfile.TemporaryDirectory(prefix="clockmill-bench-") as folder,
        redis_server(_AS_INSTALLED) as broker,
        bare_celery(broker.url(0), Path(folder)) as bare,
        mill_celery(broker.url(1), database) as mill,
    ):
        return figures(in_turn({BARE: bare.rate, "Clockmill": mill.rate}, runs + 1, tasks), tasks)


def in_turn(contestants: Mapping[str, Rate], rounds: int, tasks: int) -> dict[str, list[float]]:
    """The rates of each contestant in all rounds but the first."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, rate in contestants.items():
            rates[name].append(rate(tasks))
    return {name: values[1:] for name, values in rates.items()}


def figures(rates: Mapping[str, Sequence[float]], tasks: int) -> list[Figure]:
    """The rates, and the share that each of the others has of Celery by itself."""
    told = [Figure(name=f"{name}: {tasks} on Redis", unit="tasks/s", values=values) for name, values in rates.items()]
    shares = {
        name: [mine / bare for mine, bare in zip(values, rates[BARE], strict=True)]
        for name, values in rates.items()
        if name != BARE
    }
    return told + [
        Figure(name=f"{name} against {BARE}", unit="times", values=values) for name, values in shares.items()
    ]
