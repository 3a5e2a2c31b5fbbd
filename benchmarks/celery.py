"""Many tasks that do nothing, by way of Redis and two task processes: Celery by itself, and Clockmill against it.

Celery's processes serve any number of tasks, so Clockmill's do as well; a process for each task, which is Clockmill's
default, is measured besides, and against Celery told to do the same. A round measures each in turn, so that all see the
same machine; the share is taken round by round.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bare_celery import bare_celery
from benchmarks.figures import Figure
from benchmarks.mill_celery import mill_celery
from benchmarks.reuse import TASKS_PER_PROCESS
from clockmill.testing.servers import redis_server

BARE = "bare Celery"
BARE_ALONE = "bare Celery, a process for each task"
MILL = f"Clockmill, {TASKS_PER_PROCESS} tasks a process"
MILL_ALONE = "Clockmill, a process for each task"
#: Whom each is compared with.
_AGAINST = {MILL: BARE, MILL_ALONE: BARE_ALONE}
#: Celery is slow to replace a process: fewer tasks take long enough.
_FEWER = 10

#: Runs so many tasks and gives the rate: tasks by the time from the first start to the last end.
Rate = Callable[[int], float]

#: Redis as it is installed: it keeps messages over a stop, but not each one over a crash.
_AS_INSTALLED: Mapping[str, str] = {}


def run(database: str, runs: int, *, tasks: int = 1000) -> list[Figure]:
    """Measure each ``runs`` times, after one round that warms up."""
    with ExitStack() as stack:
        broker = stack.enter_context(redis_server(_AS_INSTALLED))
        bare, alone = (
            stack.enter_context(
                bare_celery(
                    broker.url(number),
                    Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clockmill-bench-"))),
                    tasks_per_process=most,
                )
            )
            for number, most in enumerate((None, 1))
        )
        mill, mill_alone = (
            stack.enter_context(mill_celery(broker.url(2 + number), database, tasks_per_process=most))
            for number, most in enumerate((TASKS_PER_PROCESS, 1))
        )
        rates = in_turn(
            {
                BARE: bare.rate,
                MILL: mill.rate,
                BARE_ALONE: lambda tasks: alone.rate(tasks // _FEWER),
                MILL_ALONE: mill_alone.rate,
            },
            runs + 1,
            tasks,
        )
        return figures(rates, tasks)


def in_turn(contestants: Mapping[str, Rate], rounds: int, tasks: int) -> dict[str, list[float]]:
    """The rates of each contestant in all rounds but the first."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, rate in contestants.items():
            rates[name].append(rate(tasks))
    return {name: values[1:] for name, values in rates.items()}


def figures(rates: Mapping[str, Sequence[float]], tasks: int) -> list[Figure]:
    """The rates, and the share that Clockmill has of Celery by itself."""
    told = [Figure(name=f"{name}: {tasks} on Redis", unit="tasks/s", values=values) for name, values in rates.items()]
    for name, bare in _AGAINST.items():
        shares = [mine / its for mine, its in zip(rates[name], rates[bare], strict=True)]
        told.append(Figure(name=f"{name}, against Celery", unit="times", values=shares))
    return told
